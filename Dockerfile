# The service in a small image: docker build -t twotick .
# The dependencies are a layer of their own, so that a change of the sources builds the sources.
ARG RUST=docker.io/library/rust:1.95-bookworm
ARG RUNTIME=docker.io/library/debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /build
COPY .cargo/config.toml .cargo/config.toml
COPY Cargo.toml Cargo.lock ./
# Named in Cargo.toml, and so they must be there.
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
 && cargo build --release --locked \
 && rm -r src
COPY . .
# The stand-ins above are as new as the sources; cargo goes by the time.
RUN touch src/lib.rs src/main.rs \
 && cargo build --release --locked --bin twotick \
 && strip --strip-debug target/release/twotick

FROM ${RUNTIME}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="twotick" \
      org.opencontainers.image.description="Durable WhatsApp delivery: signed webhooks in, ordered sequences out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin twotick
# Whom to trust when calling the providers; a database with a CA of its own names it in its URL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# From Cargo.lock a scanner knows what the binary is made of.
COPY LICENSE Cargo.lock /usr/share/doc/twotick/
COPY --from=build /build/target/release/twotick /usr/local/bin/twotick
USER 10001:10001
ENV TWOTICK__HTTP__LISTEN=0.0.0.0:8080 \
    TWOTICK_LOG_FORMAT=json
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether the process is up, not whether the database is: a restart would not bring that back.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["twotick", "health"]
ENTRYPOINT ["twotick"]
CMD ["serve"]
