"""Every run below a folder side by side.

curves.py     learning curves from TensorBoard events
runs.py       the runs below a folder, whole, unfinished, failed or damaged
variants.py   runs that differ in their seed alone, and what to call them
chance.py     whether a difference in BLEU could be chance
comparing.py  all of these, for a folder
table.py      one table of them
forms.py      the table in a terminal, as Markdown, as CSV
gallery.py    attention of the pinned sentences, and every head
page.py       all of it as one page
"""
