# The gate in an image. It runs as nobody in particular and writes nothing but its audit log, so that this is enough:
#
#   docker run --read-only --cap-drop ALL -p 8443:8443 \
#     -v ./config:/etc/certgate:ro -v ./certs:/etc/certs:ro -v audit:/etc/log certgate
#
# Paths in certgate.yaml are relative to it. Mounted files that hold secrets must be readable by user 1000 and by
# nobody else, and the audit log's folder must be writable by it.

FROM node:26-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
# No package of others runs a script, here or below.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json LICENSE ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm cache clean --force
COPY config ./config
COPY --from=build /src/dist ./dist
# `node` by number: Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 8443
ENTRYPOINT ["node", "/app/dist/certgate.js"]
CMD ["serve", "--config", "/etc/certgate/certgate.yaml"]
