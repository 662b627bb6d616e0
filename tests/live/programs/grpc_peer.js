// SPDX-License-Identifier: Apache-2.0
// grpc_peer.js server|client HOST PORT CERTIFICATE [KEY]: grpc_peer.py's part by `@grpc/grpc-js`, for NODE_PATH.
//
// Takes the same lines; the messages are bytes that the package is given as they are. A server prints one JSON object
// per message it received or sent; a client prints none, and fails if an answer is not what was asked for.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const { obey, tellMessage } = require('./said.js');

const [role, host, port, certificate, key] = process.argv.slice(2);
const SERVICE = 'shop.v1.Orders';
const MESSAGES = 5;
const GZIP = 2;
const METHODS = {
  // name: streams of messages from the client, from the server
  unary: ['Unary', false, false],
  server_stream: ['ServerStream', false, true],
  client_stream: ['ClientStream', true, false],
  bidirectional: ['Bidirectional', true, true],
  compressed: ['Compressed', true, true],
  error: ['Error', false, false],
  refused: ['Refused', false, false],
};
const same = (data) => data;
const definition = Object.fromEntries(
  Object.values(METHODS).map(([name, requestStream, responseStream]) => [
    name,
    {
      path: `/${SERVICE}/${name}`,
      requestStream,
      responseStream,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  ]),
);

// `{1: number * 1000, 2: text}`; one is longer than a frame of HTTP/2, one is empty.
const varint = (number) => (number > 0x7f ? [(number & 0x7f) | 0x80, ...varint(number >> 7)] : [number]);
const message = (method, from, number) => {
  if (number === 3) return Buffer.alloc(0);
  const text = Buffer.from(`${method} of the ${from} `.repeat(number === 1 ? 2000 : 1));
  return Buffer.concat([Buffer.from([8, ...varint(number * 1000), 18, ...varint(text.length)]), text]);
};
const FAILED = { code: grpc.status.NOT_FOUND, details: 'no order 1234: café' };

const runServer = () => {
  const kept = [];
  const server = new grpc.Server();
  const handler = (method, requestStream, responseStream) => (call, callback) => {
    const peer = call.getPeer();
    const at = peer.lastIndexOf(':');
    const party = { ends: { pid: process.pid, local: [host, bound], remote: [peer.slice(0, at), Number(peer.slice(at + 1))] } };
    const numbers = { true: 0, false: 0 };
    const add = (fromClient, data) => {
      numbers[fromClient] += 1;
      kept.push([party, !fromClient, data, { service: SERVICE, method, from_client: fromClient, number: numbers[fromClient] }]);
      return data;
    };
    const answer = (number) => add(false, message(method, 'server', number));
    if (requestStream) {
      call.on('data', (data) => {
        add(true, data);
        if (method === 'Bidirectional') call.write(answer(numbers.true - 1));
      });
    } else {
      add(true, call.request);
    }
    const done = () => {
      if (method === 'Error' || method === 'Refused') return callback(FAILED);
      if (!responseStream) return callback(null, answer(0));
      for (let number = numbers.false; number < MESSAGES; number += 1) call.write(answer(number));
      return call.end();
    };
    if (requestStream) call.on('end', done);
    else done();
  };
  server.addService(
    definition,
    Object.fromEntries(Object.values(METHODS).map((method) => [method[0], handler(...method)])),
  );
  const pairs = [{ cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) }];
  let bound;
  server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createSsl(null, pairs), (error, number) => {
    if (error) throw error;
    bound = number;
    console.log('ready', number);
    process.stdin.resume();
    process.stdin.on('end', () => {
      for (const told of kept) tellMessage(...told);
      process.exit();
    });
  });
};

const runClient = () => {
  const Client = grpc.makeGenericClientConstructor(definition, SERVICE);
  const credentials = grpc.credentials.createSsl(fs.readFileSync(certificate));
  const clients = {};
  // Compression is a channel's; both use one connection each.
  const of = (compressed) => {
    const options = compressed ? { 'grpc.default_compression_algorithm': GZIP } : {};
    clients[compressed] = clients[compressed] || new Client(`${host}:${port}`, credentials, options);
    return clients[compressed];
  };
  const make = (name) =>
    new Promise((resolve, reject) => {
      const [method, requestStream, responseStream] = METHODS[name];
      const got = [];
      const ended = (error) => {
        if ((error ? error.code : 0) !== (method === 'Error' || method === 'Refused' ? FAILED.code : 0)) reject(error);
        const wanted = error ? 0 : responseStream ? MESSAGES : 1;
        const right = got.every((data, number) => data.equals(message(method, 'server', number)));
        if (got.length !== wanted || !right) reject(new Error(`${got.length} answers to ${method}`));
        else resolve();
      };
      const single = (error, data) => {
        if (!error) got.push(data);
        ended(error);
      };
      const request = requestStream ? [] : [message(method, 'client', 0)];
      const call = of(name === 'compressed')[method](...request, ...(responseStream ? [] : [single]));
      if (responseStream) {
        call.on('data', (data) => got.push(data));
        call.on('status', (status) => ended(status.code ? status : null));
        call.on('error', () => {});
      }
      if (requestStream) {
        for (let number = 0; number < MESSAGES; number += 1) call.write(message(method, 'client', number));
        call.end();
      }
    });
  const orders = Object.fromEntries(Object.keys(METHODS).map((name) => [name, () => make(name)]));
  obey(orders, () => Object.values(clients).forEach((client) => client.close()));
};

(role === 'server' ? runServer : runClient)();
