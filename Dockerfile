# One build for the three binaries, a target for each image:
#   docker build --target control-plane|frontend|backend|envoy .

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# The caches keep the registry and the compiled dependencies from build to build. They outlive a checkout, and cargo
# goes by times: without the touch, an older file of another checkout would pass for compiled already.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p portolan -p frontend -p backend \
    && install -D -t /out target/release/portolan target/release/frontend target/release/backend \
    && install -d /out/state

FROM gcr.io/distroless/cc-debian13:nonroot AS control-plane
COPY --from=build /out/portolan /usr/local/bin/portolan
# A named volume that is mounted here begins with this folder's owner. There is no mkdir in this image.
COPY --from=build --chown=65532:65532 /out/state /var/lib/portolan
EXPOSE 18000
ENTRYPOINT ["/usr/local/bin/portolan"]
CMD ["serve"]

FROM gcr.io/distroless/cc-debian13:nonroot AS frontend
COPY --from=build /out/frontend /usr/local/bin/frontend
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/frontend"]

FROM gcr.io/distroless/cc-debian13:nonroot AS backend
COPY --from=build /out/backend /usr/local/bin/backend
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/backend"]

# Envoy as the edge and as docker-guard. The configuration is in the image, because a bind mount needs the file on the
# engine's own host; portolan is there for the health check, because the image has no shell and no curl.
FROM envoyproxy/envoy:distroless-v1.40.0 AS envoy
COPY envoy/bootstrap.yaml envoy/docker-guard.yaml /etc/envoy/
COPY --from=build /out/portolan /usr/local/bin/portolan
USER 65532:65532
EXPOSE 8080
CMD ["-c", "/etc/envoy/bootstrap.yaml", "--log-level", "warning", "--disable-hot-restart", "--file-flush-interval-msec", "1000"]
