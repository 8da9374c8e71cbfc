"""The schema of presets: its version, and how presets of older versions are read.

To change the schema so that older presets would be refused or would mean something else, append
a migration to `SCHEMA`: it turns the plain values of the version before into those of the next.
The version follows from the number of migrations. Files of any version are then read: presets of
users, those in runs, and those in checkpoints. A new field with a default needs no migration.
"""

from slm_tui.versions import Format

SCHEMA = Format("schema", migrations=[])
