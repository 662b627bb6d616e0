// SPDX-License-Identifier: Apache-2.0
// node_server.js CERTIFICATE KEY HOST: HTTPS; the answer to a request is as long as its path says. Prints "ready" and its
// port, and at the end of standard input one JSON object per connection: its socket.
"use strict";

const fs = require("fs");
const https = require("https");

const [certificate, key, host] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
const sockets = [];

server.on("secureConnection", ({ localAddress, localPort, remoteAddress, remotePort }) =>
  sockets.push({ local: [localAddress, localPort], remote: [remoteAddress, remotePort] }),
);
server.on("request", (request, response) => {
  request.resume();
  request.on("end", () => {
    const size = Number(request.url.split("/").pop());
    response.setHeader("Content-Length", size);
    response.end(request.url.padEnd(size).slice(0, size));
  });
});
server.listen(0, host, () => console.log("ready", server.address().port));
process.stdin.resume();
process.stdin.on("end", () => {
  for (const socket of sockets) console.log(JSON.stringify({ socket }));
  process.exit(0);
});
