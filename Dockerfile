FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# A dependency that npm links to.
COPY vendor/postgres ./vendor/postgres
# None of them needs to run anything of its own when it is installed.
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-slim
WORKDIR /app
# It needs API_KEYS, or ALLOW_ANONYMOUS=true where its port is published to nobody else, and says so.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY drizzle ./drizzle
COPY workflows ./workflows
COPY vendor ./vendor
COPY bin ./bin
COPY src ./src
RUN mkdir /data && chown node:node /data
# Files of the image belong to root: the gateway writes to /data and /tmp alone, and runs on a read-only image.
USER node
VOLUME /data
EXPOSE 6008
# A plain GET, without a tool that the image does not have.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:'+(process.env.PORT||6008)+'/health').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "src/main.ts"]
