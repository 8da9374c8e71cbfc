"""The preset schema: its version, and how presets of older versions are read.

If a schema change would make older presets invalid or change their meaning, append a migration
to `SCHEMA`: it turns the plain values of the previous version into those of the next.
The version follows from the number of migrations. Files of any version can then be read:
user presets, those in runs, and those in checkpoints. A new field with a default needs no
migration.
"""

from slm_tui.versions import Format

SCHEMA = Format("schema", migrations=[])
