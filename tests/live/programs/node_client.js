// SPDX-License-Identifier: Apache-2.0
// node_client.js first|late PER_HOST ROUNDS HOST:PORT...: requests to several hosts at once, PER_HOST to each, over
// agents that keep connections alive; every request has a path of its own. Prints "ready" and waits for a line before
// the first round; with `late` behind it. At the end one JSON object per exchange since: its path and its socket.
"use strict";

const https = require("https");
const readline = require("readline");

const [since, perHost, rounds, ...hosts] = process.argv.slice(2);
const agents = hosts.map(() => new https.Agent({ keepAlive: true, maxSockets: Number(perHost) }));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let exchanges = [];

function exchange(host, number, round) {
  const [hostname, port] = hosts[host].split(":");
  const size = 200 + ((number * 997 + round * 131) % 3000);
  const path = `/host${host}/request${number}/round${round}/${size}`;
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path, agent: agents[host], rejectUnauthorized: false };
    const request = https.request(options, (response) => {
      const { localAddress, localPort, remoteAddress, remotePort } = response.socket;
      let body = "";
      response.setEncoding("latin1");
      response.on("data", (piece) => (body += piece));
      response.on("end", () => {
        if (body !== path.padEnd(size).slice(0, size)) return reject(new Error(`wrong answer to ${path}`));
        exchanges.push({ exchange: path, local: [localAddress, localPort], remote: [remoteAddress, remotePort] });
        resolve();
      });
    });
    request.on("error", reject);
    request.end();
  });
}

async function round(number) {
  const all = [];
  for (let i = 0; i < Number(perHost); i++) for (let host = 0; host < hosts.length; host++) all.push(exchange(host, i, number));
  await Promise.all(all);
}

async function ready() {
  exchanges = [];
  console.log("ready");
  await lines.next();
}

async function main() {
  if (since === "late") await round(0);
  await ready();
  for (let i = 1; i <= Number(rounds); i++) await round(i);
  for (const told of exchanges) console.log(JSON.stringify(told));
  for (const agent of agents) agent.destroy();
  process.stdin.destroy();
}

main();
