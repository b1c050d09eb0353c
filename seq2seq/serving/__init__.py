"""Trained models behind an address: a live page, and an HTTP API under it.

schemas.py    what requests and answers look like
models.py     the models that are served, by name
searches.py   how a request says that translations are found
tasks.py      what is done for many requests at once: translate, align, look at attention
batching.py   the queue between requests and models, and the thread that empties it
guard.py      limits of size and time, measurements, and what a browser may do
mistakes.py   what is wrong with a request that cannot be read
inputs.py     text of a request, measured before it is queued
service.py    models, queue and measurements together
routes.py     the addresses that models answer
app.py        all addresses, and how mistakes are told
server.py     the port, and how the server stops
ctranslate2.py  an export that searches in place of a model

Needs the packages of the extra `serve`.
"""
