"""Each verdict in plain language: what it means, why it happens, how to recognise it."""

EXPLANATIONS = {
    "non-finite": (
        "A loss or a gradient became infinite or “not a number”: the computation overflowed. "
        "It happens when weights grow without bound, usually because the updates are too large. "
        "Such a step is skipped because it would ruin every weight; after five in a row the run "
        "goes back to its last good checkpoint. Smaller updates fix it: a lower learning rate or "
        "gradient clipping."
    ),
    "diverging": (
        "The loss has climbed well above its best value and does not come back down. The updates "
        "are so large that each one overshoots: instead of moving down into the valley, the "
        "weights are thrown up its sides. A model that has learned nothing and gives every token "
        "the same probability has a loss of ln(vocabulary size): above that line, the model is "
        "worse than guessing. A lower learning rate or a longer warm-up fixes it."
    ),
    "learning rate too high": (
        "Each update changes the weights too much. The loss falls at first and then stays high "
        "while it jumps up and down between evaluations: the model bounces around a good solution "
        "and cannot settle into it. The evaluations always use the same text, so only the weights "
        "can cause the zigzag. With a lower learning rate the curve becomes smooth and goes "
        "further down."
    ),
    "learning rate too low": (
        "Each update changes the weights too little. The symptom is a loss that falls in a "
        "straight line: the same amount of learning rate gains as much at the end as at the "
        "beginning, so the model has only started to learn. A healthy curve falls steeply at "
        "first and then bends. A higher learning rate gets further in the same time; more steps "
        "would too, but slowly."
    ),
    "collapsed router": (
        "H-Net learns where to cut its text into chunks, and one of its stages cuts everywhere or "
        "nowhere: the stages inside it then see single bytes, or nothing that they could use. A "
        "swing in the first steps is normal; a router that stays there has lost its gradient. A "
        "larger weight of the ratio loss pulls it back to its target, and a lower learning rate "
        "keeps it from jumping."
    ),
    "overfitting": (
        "The model still gets better on the text it is trained on but worse on text it has never "
        "seen. It has started to memorise its training text instead of learning what such texts "
        "have in common. You can see it in the curves: training loss keeps falling while "
        "validation loss rises, so the gap between them widens. More text is what helps; the best "
        "checkpoint is from before it began. Dropout and smaller models help far less often."
    ),
    "underfitting": (
        "Training and validation loss have levelled off, close together and still far from what "
        "is possible. The model does as well on unseen text as on its training text, so it is not "
        "overfitting: it has not been trained enough, or is too small, to do better. More steps, "
        "or a larger model, may get further with the same text."
    ),
    "memorising": (
        "The model's completions occur word for word in its training text, far more often than "
        "two independent texts of this kind share passages. It has memorised passages and repeats "
        "them. This happens when a model with enough capacity sees a small text many times. More "
        "text makes it write new text."
    ),
    "near the floor": (
        "The built-in stories are generated at random from known rules, so the part of them that "
        "no model can predict is known exactly: that is the floor. The model is so close to it "
        "that there is almost nothing left to learn from this text. More training will not help; "
        "richer text will."
    ),
    "below the floor": (
        "The loss is lower than the entropy of the text itself, which no model can reach on text "
        "it has not seen. The floor is the mean over the whole validation text, but an evaluation "
        "uses only windows of it, which may happen to be easier; that explains small "
        "differences. A large difference means that the model has seen the validation text in "
        "training, or that a measurement is wrong: do not trust this number."
    ),
    "loss spikes": (
        "Single steps had a loss far above the usual level, and the run recovered by itself. "
        "Unusual passages of text cause such spikes, and so does a learning rate at the edge of "
        "stability. A few do no harm; frequent spikes are a warning that training may diverge. A "
        "lower learning rate or gradient clipping reduces them."
    ),
    "texts differ": (
        "The validation loss is far above the training loss, although the model has not yet seen "
        "the whole training text once and so cannot have memorised it. The two texts must be of "
        "different kinds: other authors, another part of a book, another language. In that case "
        "the gap says nothing about overfitting. Shuffled documents, or a validation split of the "
        "same kind, give a fair comparison."
    ),
    "validation is easier": (
        "The validation loss is far below the training loss, and there is no dropout to explain "
        "it. The validation text is easier than the training text: shorter, more repetitive, or "
        "nearly the same as part of it (a leak). The number looks better than it is. Compare the "
        "two texts on the Data screen."
    ),
    "rising": (
        "The validation loss is above its best, but not for long enough, or not while the "
        "training loss falls, so it cannot be called overfitting yet. It may be chance or the "
        "learning rate. The next evaluations will show which."
    ),
    "level": (
        "The validation loss has stopped falling: the remaining changes are within its noise. The "
        "model has learned what it can with this learning rate, size and text. A schedule that "
        "lowers the learning rate usually gains a little more; otherwise it is time to stop."
    ),
    "learning": (
        "The validation loss is falling: the model gets better at text it has never seen, which "
        "is exactly what you want. A healthy curve is steep at first, while the model learns the "
        "common tokens, and flattens as only the rarer patterns are left. All you need to do is "
        "wait."
    ),
    "still learning": (
        "When the run ended, the validation loss was still falling. The model had not learned all "
        "it can: training stopped while it was still improving. Resume it, or give a new run more "
        "steps, and it will improve further."
    ),
    "validation too small": (
        "The validation loss is the mean over so few tokens that it is largely down to chance: "
        "another sample of text of this size would give another number. Runs can only be compared "
        "if they differ by more than that. A larger validation split, or more of it in each "
        "evaluation, makes the number reliable."
    ),
    "early stop cannot fire": (
        "Early stopping ends a run when the validation loss has not improved for a given number "
        "of steps, the patience. Here the patience is at least as long as the run itself, so the "
        "run will always end first. This does no harm, but it does not protect against "
        "overfitting either."
    ),
    "little text": (
        "The model has more capacity than the text can fill. For the best model within a given "
        "amount of compute, about 20 tokens per parameter are ideal (Hoffmann et al. 2022); that "
        "was measured with large models and web text, and simple text such as children's stories "
        "needs fewer. Well below that, a smaller model learns as much in less time, and a large "
        "one tends to memorise the text."
    ),
    "repeated text": (
        "An epoch is one pass through the training text. Up to about four passes teach nearly as "
        "much as fresh text would; after that each repetition is worth less, and after about "
        "forty it is worth nothing (Muennighoff et al. 2023). From then on the model starts to "
        "memorise. More text or fewer steps make better use of the time."
    ),
}

# For verdicts whose text above mentions what comes next, once the run has ended.
AFTER_THE_END = {
    "rising": (
        "The run ended with a validation loss above its best, but it had not been above it for "
        "long enough, or not while the training loss fell, so it cannot be called overfitting. It "
        "may be chance or the learning rate. More evaluations in a longer run would show which; "
        "the checkpoint `best` is from before the rise."
    ),
}
