"""Five labelled minutes a patient and unseen patients, on MIT-BIH, beside a reference."""
