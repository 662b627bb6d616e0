// SPDX-License-Identifier: Apache-2.0
// node_peer.js server|client HOST PORT --certificate FILE --key FILE: tls_peer.py's part, spoken by Node's own TLS.
//
// Prints "ready" and, a server, its port. A client answers each line on its standard input with "done": `connect`,
// `get PATH`, `close`. At the end of its input each prints one JSON object per connection. Runs on Node 12.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const tls = require('tls');

const [role, host, port, ...flags] = process.argv.slice(2);
const option = (name) => flags[flags.indexOf(`--${name}`) + 1];
const peers = [];

class Peer {
  constructor(socket) {
    this.socket = socket;
    this.read = [];
    this.written = [];
    this.pending = '';
    this.onMore = () => {};
    socket.on('error', () => {});
    socket.on('data', (data) => {
      this.read.push(data);
      this.pending += data.toString('latin1');
      this.onMore();
    });
    peers.push(this);
  }

  // Addresses are gone once the socket is closed.
  connected() {
    const { localAddress, localPort, remoteAddress, remotePort } = this.socket;
    this.local = [localAddress, localPort];
    this.remote = [remoteAddress, remotePort];
  }

  write(text) {
    const data = Buffer.from(text, 'latin1');
    this.written.push(data);
    this.socket.write(data);
  }

  // A whole message's head and body, or nothing yet.
  message() {
    const end = this.pending.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const head = this.pending.slice(0, end);
    const length = /content-length: (\d+)/i.exec(head);
    const size = end + 4 + (length ? Number(length[1]) : 0);
    if (this.pending.length < size) return null;
    const body = this.pending.slice(end + 4, size);
    this.pending = this.pending.slice(size);
    return { head, body };
  }

  told() {
    const side = (pieces) => {
      const data = Buffer.concat(pieces);
      return [data.length, crypto.createHash('sha256').update(data).digest('hex')];
    };
    const { local, remote } = this;
    // As tests know a report: "pid" comes first.
    return JSON.stringify({ pid: process.pid, local, remote, read: side(this.read), written: side(this.written) });
  }
}

function bodyOf(path) {
  const size = Number(path.slice(path.lastIndexOf('/') + 1));
  return path.repeat(Math.ceil(size / path.length) + 1).slice(0, size);
}

function tellAll() {
  for (const peer of peers) console.log(peer.told());
}

function serve() {
  const settings = { cert: fs.readFileSync(option('certificate')), key: fs.readFileSync(option('key')) };
  const server = tls.createServer(settings, (socket) => {
    const peer = new Peer(socket);
    peer.connected();
    peer.onMore = () => {
      for (let asked; (asked = peer.message()); ) {
        const body = bodyOf(asked.head.split(' ')[1]);
        const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`;
        peer.write(head + body);
      }
    };
  });
  server.listen(Number(port), host, () => console.log('ready', server.address().port));
  process.stdin.on('data', () => {});
  // Ends when every connection did.
  process.stdin.on('end', () => server.close(tellAll));
}

const commands = {
  connect: () =>
    new Promise((resolve, reject) => {
      const ca = fs.readFileSync(option('certificate'));
      const settings = { host, port: Number(port), ca, servername: 'localhost' };
      const socket = tls.connect(settings, () => {
        peer.connected();
        resolve();
      });
      socket.once('error', reject);
      const peer = new Peer(socket);
    }),
  get: (path) =>
    new Promise((resolve, reject) => {
      const peer = peers[peers.length - 1];
      peer.onMore = () => {
        const answered = peer.message();
        if (!answered) return;
        if (answered.body === bodyOf(path)) resolve();
        else reject(new Error(`another answer to ${path}`));
      };
      peer.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-Pid: ${process.pid}\r\n\r\n`);
    }),
  close: () =>
    new Promise((resolve) => {
      const { socket } = peers[peers.length - 1];
      socket.once('close', resolve);
      socket.end();
    }),
};

async function ask() {
  console.log('ready');
  let text = '';
  for await (const piece of process.stdin) {
    text += piece;
    for (let end; (end = text.indexOf('\n')) >= 0; ) {
      const [name, ...words] = text.slice(0, end).split(' ');
      text = text.slice(end + 1);
      await commands[name](...words);
      console.log('done 0');
    }
  }
  tellAll();
}

if (role === 'server') serve();
else ask();
