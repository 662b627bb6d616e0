// SPDX-License-Identifier: Apache-2.0
// late_program.js PORT TAG SECONDS: asks a server for /mark=TAG:NANOSECONDS again and again, each request
// saying when it was made; answers with the time of the first. Run by an executable nobody has seen,
// the capture's first mark tells how long it took to be attached.
'use strict'
const tls = require('tls')
const [port, tag, seconds] = process.argv.slice(2)
const until = process.hrtime.bigint() + BigInt(Math.round(Number(seconds) * 1e9))

const socket = tls.connect({ host: '127.0.0.1', port: Number(port), rejectUnauthorized: false }, () => {
  console.log(String(process.hrtime.bigint()))
  ask()
})
socket.resume()

function ask () {
  const now = process.hrtime.bigint()
  if (now > until) return socket.destroy()
  socket.write(`GET /mark=${tag}:${now} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  setTimeout(ask, 2)
}
