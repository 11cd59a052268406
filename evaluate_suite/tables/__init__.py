"""The paper's Tables II, III and IV, from one command: `python -m evaluate_suite tables`.

A *row* is a way to come by a model: a method's recipe, or a control. For each row and seed there are *cells*: a
pre-training, three fine-tunings and an evaluation. `plan` says which, as command lines of `train.py`, `finetune.py`,
`evaluate_suite run` and `datasets_scripts build`, each with the settings that decide its result; `runner` runs those
that are not done in processes of their own, and writes a JSON file as each ends. `numbers` reads what a cell measured
and sums up the seeds, `assembly` puts it beside `paper`'s numbers as `tables.json`, `pages` and `charts` show that.
"""
