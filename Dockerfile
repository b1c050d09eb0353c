# A server of a trained model: docs/serve.md.
#
#     docker build -t seq2seq-serve .
#     docker run -p 127.0.0.1:8000:8000 -v "$PWD/best.ckpt:/model.ckpt:ro" seq2seq-serve
FROM python:3.11-slim

# From where PyTorch comes. Without a value it is the usual build, which holds CUDA; with the index of PyTorch's
# CPU builds the image is several times smaller: --build-arg TORCH_INDEX=...
ARG TORCH_INDEX=

WORKDIR /seq2seq
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs configs
COPY seq2seq seq2seq
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && pip install --no-cache-dir -c constraints.txt ".[serve]"

# It needs no rights, and writes nothing.
USER nobody
ENV MPLCONFIGDIR=/tmp PYTHONUNBUFFERED=1
WORKDIR /
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["seq2seq", "serve", "host=0.0.0.0", "port=8000"]
CMD ["checkpoint=/model.ckpt"]
