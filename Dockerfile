# A small image with torch for CPUs and a user without rights. It was not built where mfnet is tested.
#   docker build --build-arg TORCH_INDEX=<the CPU index named on PyTorch's install page> -t mfnet .
#   docker run --rm -v "$PWD/runs:/mfnet/runs" mfnet train MFNet-TwoByTwo-v0
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=""
WORKDIR /source
COPY pyproject.toml setup.cfg README.md LICENSE constraints.txt ./
COPY mfnet_envs mfnet_envs
COPY mfnet_agents mfnet_agents
COPY mfnet_theory mfnet_theory
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[agents,render]"

FROM python:${PYTHON}-slim
COPY --from=build /venv /venv
RUN useradd --uid 1000 --home-dir /mfnet --create-home mfnet && mkdir /mfnet/runs && chown mfnet /mfnet/runs
USER 1000
WORKDIR /mfnet
ENV PATH=/venv/bin:$PATH OMP_NUM_THREADS=1 MPLCONFIGDIR=/mfnet/.matplotlib
ENTRYPOINT ["mfnet"]
CMD ["--help"]
