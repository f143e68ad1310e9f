// A proxy between the functions and one server. It ends TLS with the server's own certificate, asks the fault plan about each call,
// and passes everything else on unchanged: also a watch, byte by byte.

import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { FREE_SOCKET_MS } from '../kubernetes/api.ts'
import type { KeyPair } from '../kubernetes/certificates.ts'
import { type Caller, callerOf, isAlive, type Known } from './callers.ts'
import type { Call, Fault, FaultPlan, Rule } from './fault-plan.ts'
import { nameCall, type ServerName } from './write-points.ts'

export type ProxyOptions = {
  server: ServerName
  /** Where the server is: `http(s)://127.0.0.1:port`. */
  target: string
  port: number
  /** With this certificate, the proxy speaks TLS, and so does the server. */
  tls?: KeyPair & { caPem: string }
  plan: FaultPlan
  programs: () => Known[]
}

export class FaultProxy {
  readonly url: string
  readonly port: number
  private readonly options: ProxyOptions
  private readonly agent: http.Agent
  private readonly server: http.Server
  private readonly sockets = new Set<Socket>()
  private readonly callers = new WeakMap<Socket, Caller>()

  constructor(options: ProxyOptions) {
    const { tls, port } = options
    this.options = options
    this.port = port
    this.url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
    const receive: http.RequestListener = (incoming, response) => void this.receive(incoming, response)
    this.server = tls === undefined ? http.createServer(receive) : https.createServer(secure(tls), receive)
    // To a server with TLS the proxy keeps its connections, as a handshake costs more than most calls. Node takes a connection that a killed server
    // has closed out of the agent before it reads the next call.
    this.agent =
      tls === undefined
        ? new http.Agent()
        : new https.Agent({ ...trusting(tls.caPem), keepAlive: true, timeout: FREE_SOCKET_MS })
    this.server.requestTimeout = 0
    this.server.keepAliveTimeout = 0
    this.server.on('connection', (socket: Socket) => this.remember(socket))
  }

  /** While it is away, callers find the connection refused; the server keeps its state. */
  async away(): Promise<void> {
    if (!this.server.listening) return
    const closed = new Promise((resolve) => this.server.close(resolve))
    for (const socket of this.sockets) socket.destroy()
    await closed
  }

  async back(): Promise<void> {
    if (this.server.listening) return
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(this.port, '127.0.0.1', resolve)
    })
  }

  async stop(): Promise<void> {
    await this.away()
    this.agent.destroy()
  }

  private remember(socket: Socket): void {
    this.sockets.add(socket)
    socket.once('close', () => this.sockets.delete(socket))
    socket.on('error', () => socket.destroy())
  }

  /** Keyed by the plain connection, because a TLS socket has the same ports. */
  private callerOn(socket: Socket): Caller {
    const known = this.callers.get(socket)
    if (known !== undefined) return known
    const found = callerOf(socket.remotePort ?? 0, (socket.address() as AddressInfo).port, this.options.programs())
    this.callers.set(socket, found)
    return found
  }

  private async receive(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    try {
      await this.pass(incoming, response)
    } catch {
      // When one end goes away, the other one must notice it as it would without a proxy.
      incoming.socket.destroy()
    }
  }

  private async pass(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { server, plan } = this.options
    const caller = this.callerOn(incoming.socket)
    const body = await bodyOf(incoming)
    const { name, writes } = nameCall(server, incoming.method ?? '', incoming.url ?? '', body)
    const { headers } = incoming
    const call: Call = { server, caller, name, writes, point: `${caller.label}: ${name}`, headers }
    const rules = plan.met(call)
    const fault: Fault = Object.assign({}, ...rules.map((rule) => rule.fault))
    for (const { before } of rules) await before?.(call)
    if (fault.answer !== undefined) {
      const { status, headers = {}, body: text = '' } = fault.answer
      response.writeHead(status, headers).end(text)
      return
    }
    // A process that was killed meanwhile sends nothing any more, although its request has come this far.
    const isGone = incoming.socket.destroyed || (caller.pid !== undefined && !isAlive(caller.pid))
    if (fault.reset === 'before' || isGone) throw new Error('the connection breaks')
    await this.answer(
      await this.forward(incoming, body, response),
      response,
      fault,
      async () => await afterwards(rules, call),
    )
    if (fault.reset === 'after') incoming.socket.destroy()
  }

  private forward(
    incoming: http.IncomingMessage,
    body: Buffer,
    response: http.ServerResponse,
  ): Promise<http.IncomingMessage> {
    const { target } = this.options
    const { expect: _, 'transfer-encoding': __, ...headers } = incoming.headers
    const length = body.length > 0 || incoming.method === 'PUT' ? { 'content-length': String(body.length) } : {}
    return new Promise((resolve, reject) => {
      const request = (target.startsWith('https:') ? https : http).request(
        `${target}${incoming.url}`,
        {
          method: incoming.method ?? 'GET',
          headers: { ...headers, ...length, connection: target.startsWith('https:') ? 'keep-alive' : 'close' },
          agent: this.agent,
        },
        resolve,
      )
      request.once('error', reject)
      response.once('close', () => request.destroy())
      request.end(body)
    })
  }

  private async answer(
    from: http.IncomingMessage,
    to: http.ServerResponse,
    fault: Fault,
    whenDone: () => Promise<void>,
  ): Promise<void> {
    const { connection: _, 'keep-alive': __, ...headers } = from.headers
    const { method } = to.req
    if (method !== 'GET') {
      // A write counts once it is answered in full: a kill right after the write must come before the caller gets any of the answer.
      const body = await bodyOf(from)
      await whenDone()
      if (fault.reset === 'after') return
      to.writeHead(from.statusCode ?? 502, headers)
      await send([body], to, fault)
      return
    }
    await whenDone()
    if (fault.reset === 'after') return
    to.writeHead(from.statusCode ?? 502, headers)
    to.flushHeaders()
    await send(from, to, fault)
  }
}

async function afterwards(rules: Rule[], call: Call): Promise<void> {
  for (const { after } of rules) await after?.(call)
}

/** Sends the answer part by part, at the fault's pace and up to its cut. */
async function send(
  parts: AsyncIterable<Buffer> | Iterable<Buffer>,
  to: http.ServerResponse,
  { bytesPerSecond, truncateAtBytes = Number.POSITIVE_INFINITY }: Fault,
): Promise<void> {
  let sent = 0
  for await (const part of parts) {
    const piece = part.subarray(0, Math.max(0, truncateAtBytes - sent))
    if (to.destroyed) throw new Error('the caller went away')
    await paced(piece, to, bytesPerSecond)
    sent += piece.length
    if (piece.length < part.length) {
      await new Promise<void>((resolve) => to.write('', () => resolve()))
      to.destroy()
      return
    }
  }
  to.end()
}

/** With a pace, ten pieces a second. */
async function paced(piece: Buffer, to: http.ServerResponse, bytesPerSecond: number | undefined): Promise<void> {
  const step = bytesPerSecond === undefined ? piece.length : Math.max(1, Math.floor(bytesPerSecond / 10))
  for (let at = 0; at < piece.length; at += step) {
    to.write(piece.subarray(at, at + step))
    if (bytesPerSecond !== undefined) await sleep(100)
  }
}

/** The CA is read once, not for each connection. */
function trusting(caPem: string): https.AgentOptions {
  return { secureContext: createSecureContext({ ca: caPem }) }
}

// Only HTTP/1.1 is offered, so that each connection carries one call at a time.
function secure({ certPem, keyPem }: KeyPair): https.ServerOptions {
  return { cert: certPem, key: keyPem, ALPNProtocols: ['http/1.1'] }
}

async function bodyOf(message: http.IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part)
  return Buffer.concat(parts)
}
