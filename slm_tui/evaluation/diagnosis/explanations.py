"""Each verdict in plain language: what it means, why it happens, how one sees it."""

EXPLANATIONS = {
    "non-finite": (
        "A loss or a gradient became infinite or “not a number”: the computation overflowed. "
        "It happens when weights grow without bound, most often because each update is too large. "
        "Such a step is thrown away, because it would turn every weight into nonsense; after five "
        "in a row the run goes back to its last good checkpoint. Smaller updates cure it: a lower "
        "learning rate, or a limit on the length of the gradient."
    ),
    "diverging": (
        "The loss is climbing away from the best it had been, and it does not come back. The "
        "updates are so large that each one overshoots: instead of going down into the valley, the "
        "weights are thrown up its sides. A model that knows nothing, and gives every token the "
        "same chance, has a loss of ln(vocabulary): above that line it is worse than guessing. A "
        "lower learning rate or a longer warm-up is the cure."
    ),
    "learning rate too high": (
        "Each update changes the weights too much. The loss falls at first and then stays high, "
        "while it jumps up and down between evaluations: the model bounces around a good place and "
        "cannot settle in it. The evaluations always use the same text, so their zigzag can only "
        "come from the weights. With a lower learning rate the curve becomes smooth and goes "
        "further down."
    ),
    "learning rate too low": (
        "Each update changes the weights too little. The sign of it is a loss that falls like a "
        "straight line: every bit of learning rate still buys as much at the end as at the "
        "beginning, so the model has only begun to learn. A healthy curve falls steeply first and "
        "then bends. A higher learning rate gets there in the same time; more steps would, too, "
        "but slowly."
    ),
    "overfitting": (
        "The model still gets better on the text it is trained on and worse on text it has never "
        "seen. It has begun to learn its training text by heart instead of what such texts have in "
        "common. One sees it where the training loss falls on and the validation loss turns up: "
        "the gap between them widens. More text is the best cure; dropout, a smaller model or "
        "stopping at the best checkpoint help as well."
    ),
    "underfitting": (
        "Training and validation loss are level, close together, and still far from what is "
        "possible. The model has no secrets about its training text that it fails to apply "
        "elsewhere: it is simply too small, or was trained too little, to say more. A larger model "
        "gets further down with the same text; more steps may."
    ),
    "memorising": (
        "What the model writes stands word for word in its training text, far more often than "
        "two independent texts of this kind have passages in common. It has learned passages by "
        "heart and repeats them. It happens when a small text is seen many times by a model "
        "with room for all of it. More text, fewer epochs or a smaller model make it write "
        "something of its own."
    ),
    "near the floor": (
        "The built-in stories are made by chance from known rules, so it is known how much of them "
        "nobody can foresee: that is the floor. The model comes so close to it that there is "
        "almost nothing left to learn in this text. More training will not show; a richer text "
        "will."
    ),
    "below the floor": (
        "The loss is lower than the entropy of the text itself, which no model can reach on text "
        "it has not seen. The floor is the mean over the whole validation text, and an evaluation "
        "looks only at windows of it, which may happen to be easier; that explains small "
        "differences. A large one means that the model has seen the validation text in training, "
        "or that something is measured wrongly: do not trust this number."
    ),
    "loss spikes": (
        "Single steps had a loss far above what was usual, and the run recovered by itself. Odd "
        "passages of text make such spikes, or a learning rate at the edge of what the model "
        "bears. A few do no harm; frequent ones are a warning that it may diverge. A lower "
        "learning rate or shorter gradients calm them."
    ),
    "texts differ": (
        "The validation loss lies far above the training loss although the training text has not "
        "been seen even once in full, so that nothing can have been learned by heart. The two "
        "texts must be of different kinds: other authors, another part of a book, another "
        "language. The gap says nothing about overfitting then. Shuffled documents, or a "
        "validation part of the same kind, give a fair comparison."
    ),
    "validation is easier": (
        "The validation loss lies far below the training loss, without dropout that would explain "
        "it. The validation text is easier than the training text: shorter, more repetitive, or "
        "nearly the same as a part of it (a leak). The number looks better than it is. Look at "
        "both on the Data screen."
    ),
    "rising": (
        "The validation loss stands above its best, but not yet for long enough, or not while the "
        "training loss falls, so that it cannot be called overfitting. It may be chance or the "
        "learning rate. The next evaluations will tell."
    ),
    "level": (
        "The validation loss has stopped falling: what still changes is within its noise. The "
        "model has learned what it can at this learning rate, size and text. A schedule that "
        "lowers the learning rate usually wins a little more; else it is time to stop."
    ),
    "learning": (
        "The validation loss falls: the model gets better at text that it has never seen, which is "
        "all one can wish for. A healthy curve is steep at first, while it learns the common "
        "tokens, and flattens as the rarer things are left. There is nothing to do but wait."
    ),
    "still learning": (
        "When the run ended, the validation loss was still falling. The model had not learned all "
        "it can: it was stopped while it was getting better. Resume it, or give a new run more "
        "steps, and it will get better still."
    ),
    "validation too small": (
        "The validation loss is the mean over so few tokens that chance decides much of it: "
        "another handful of text would give another number. Compare runs by it only if they differ "
        "by more than that. A larger validation part, or more of it in each evaluation, makes it "
        "trustworthy."
    ),
    "early stop cannot fire": (
        "Early stopping ends a run when the validation loss has not improved for so many steps. "
        "Here that patience is as long as the run itself, or longer, so the run will always end "
        "first. It does no harm, but it does not protect from overfitting either."
    ),
    "little text": (
        "The model has more room than the text can fill. For the best model in a given computing "
        "time about 20 tokens per parameter are right (Hoffmann et al. 2022); that was measured on "
        "large models and the open web, and simple text such as children's stories needs fewer. "
        "Well below it, a smaller model learns as much in less time, and a large one is "
        "prone to learn by heart."
    ),
    "repeated text": (
        "An epoch is one pass through the training text. Up to about four passes teach nearly as "
        "much as fresh text would; after that every repetition is worth less, and after some "
        "forty nothing (Muennighoff et al. 2023). Then the model begins to learn by heart. "
        "More text or fewer steps spend the time better."
    ),
}

# Where the text above speaks of what comes next, and the run has ended.
AFTER_THE_END = {
    "rising": (
        "The run ended with a validation loss above its best, but not above it for long enough, or "
        "not while the training loss fell, so it cannot be called overfitting. It may be chance "
        "or the learning rate. More evaluations of a longer run would show which; the checkpoint "
        "`best` is from before the rise."
    ),
}
