// SPDX-License-Identifier: Apache-2.0
// What said.py prints, for peers in Node: who, over which socket, and digests of what they said and were told.
'use strict';
const crypto = require('crypto');
const readline = require('readline');

const digest = (data) => [data.length, crypto.createHash('sha256').update(data).digest('hex')];

// To be asked while the socket is open: it has no addresses later.
const who = (socket, isClient) => ({
  isClient,
  ends: {
    pid: process.pid,
    local: [socket.localAddress, socket.localPort],
    remote: [socket.remoteAddress, socket.remotePort],
  },
});

const tellMessage = (who, outgoing, data, more) => {
  const message = { ...who.ends, outgoing, data: digest(data), ...more };
  console.log(JSON.stringify({ message }));
};

// Calls `orders[name](...words)` for each line of standard input, answers "done", and `end()` when there are no more.
const obey = async (orders, end) => {
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    await orders[name](...words);
    console.log('done');
  }
  await end();
};

module.exports = { digest, obey, tellMessage, who };
