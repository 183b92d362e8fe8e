# The bridge in a small image: one binary that links nothing but libc, started by a user that owns only its journal.
#
# OpenSSL, librdkafka, zlib and SQLite are compiled in. The first build compiles them and takes minutes; afterwards a
# change of our own code alone rebuilds only that.

FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies alone, against an empty program, so that they stay cached until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it \
    && echo 'fn main() {}' > src/main.rs \
    && cp src/main.rs src/lib.rs \
    && cp src/main.rs tests/it/main.rs \
    && cargo build --release --locked --bin atoms-kafka-bridge

COPY src src
# Cargo compares times: the copied files may be older than the empty program's build.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin atoms-kafka-bridge


FROM debian:bookworm-slim
# Certificates for brokers and APIs behind TLS: the one thing that the binary wants from its system. No version of theirs is
# pinned: Debian takes old ones away, and newer ones are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin bridge \
    && install -d -m 0700 -o bridge -g bridge /var/lib/atoms-kafka-bridge

COPY --from=build /build/target/release/atoms-kafka-bridge /usr/local/bin/

# The journal is what a 200 stands for: keep it on a volume that outlives the container, never on a network file system.
ENV ATOMS_BRIDGE__JOURNAL__PATH=/var/lib/atoms-kafka-bridge/journal.db
VOLUME /var/lib/atoms-kafka-bridge
WORKDIR /var/lib/atoms-kafka-bridge

# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
# 8080 takes webhooks; 8081 answers /livez and /readyz. The image has no client for a HEALTHCHECK: let the
# platform ask 8081.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["atoms-kafka-bridge"]
CMD ["serve"]
