// One kept-alive connection to the store: it carries one request at a time and receives the answer in place (see response-reader.ts).

import net from 'node:net'
import tls from 'node:tls'
import { type Trust, tlsOptions } from '#shared/adapters/net/trust.ts'
import { connectTo, openTunnel, ProxyError } from '#shared/adapters/net/tunnel.ts'
import { proxyName } from '#shared/kernel/proxy.ts'
import { KiB } from '#shared/kernel/units.ts'
import { type ReceivedResponse, ResponseReader, SCRATCH_BYTES } from './response-reader.ts'

/**
 * TLS first encrypts a whole write into memory: writing in pieces keeps that memory small. Without TLS, the kernel takes the body as it
 * is.
 */
const TLS_PIECE_BYTES = 512 * KiB
/** How long to wait for an answer after a write failed. The answer has arrived before that, so the wait is short. */
const AFTER_WRITE_FAILURE_MS = 500
const NO_BODY = new Uint8Array(0)

/** `secure`: TLS to the store itself; the connection to a proxy may have its own TLS. */
export type Endpoint = {
  host: string
  port: number
  secure: boolean
  proxy: URL | undefined
  trust: () => Trust
  /** For the connection to the proxy itself. */
  proxyTrust: () => Trust
}
export type WireRequest = {
  method: string
  head: string
  body: Uint8Array | undefined
  limitBytes: number
  allocate: (bytes: number) => Buffer
}

type Pending = { reader: ResponseReader; resolve(response: ReceivedResponse): void; reject(error: Error): void }

export class Connection {
  /** When the last answer ended, for the pool. */
  idleSinceMs = 0
  private readonly socket: net.Socket
  private readonly secure: boolean
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  private pending: Pending | undefined
  private failure: Error | undefined
  private bodyIsSent = true
  private lastWait: NodeJS.Timeout | undefined
  private readonly hangUp: (error?: Error) => net.Socket

  /** Resolves once the connection (and its TLS) is established. */
  static async open(endpoint: Endpoint, timeoutMs: number, signal: AbortSignal | undefined): Promise<Connection> {
    const ended = Promise.withResolvers<never>()
    ended.promise.catch(() => {})
    const abort = () => ended.reject(abortError(signal))
    const late = () => ended.reject(failure('ETIMEDOUT', `no connection after ${timeoutMs} ms`))
    const timer = setTimeout(late, timeoutMs)
    signal?.addEventListener('abort', abort, { once: true })
    const way = wayTo(endpoint)
    let connection: Connection | undefined
    try {
      await Promise.race([way?.ready, ended.promise])
      connection = new Connection(endpoint, way?.socket)
      await Promise.race([connection.established(), ended.promise])
      return connection
    } catch (error) {
      connection?.close(error as Error)
      way?.socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  private established(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The connection through a proxy is already established.
      if (!this.secure && !this.socket.connecting) resolve()
      this.socket.once(this.secure ? 'secureConnect' : 'connect', resolve)
      this.socket.once('close', () => reject(this.failure ?? failure('ECONNRESET', 'closed while connecting')))
    })
  }

  private constructor(endpoint: Endpoint, way: net.Socket | undefined) {
    const onread = {
      buffer: () => this.pending?.reader.target() ?? this.scratch,
      callback: (count: number) => this.received(count),
    }
    const { host, port, secure, trust } = endpoint
    this.secure = secure
    if (secure) {
      const to = way === undefined ? { host, port, onread } : { socket: way }
      const options = { ...to, ...tlsOptions(host, trust()), ALPNProtocols: ['http/1.1'] }
      this.socket = tls.connect(options as tls.ConnectionOptions)
    } else {
      this.socket = way ?? net.connect({ host, port, noDelay: true, onread })
    }
    // Node reads in place only from sockets that it has created itself.
    if (way !== undefined) this.socket.on('data', (bytes: Buffer) => this.copied(bytes))
    this.hangUp = this.socket.destroy.bind(this.socket)
    this.socket.destroy = (error?: Error) => this.destroyed(error)
    this.socket.on('error', (error) => this.close(error))
    this.socket.on('end', () => this.ended())
    this.socket.on('close', () => this.close(failure('ECONNRESET', 'the connection was closed')))
    this.socket.on('timeout', () => this.close(failure('ETIMEDOUT', 'nothing moved on the connection for too long')))
  }

  get usable(): boolean {
    return this.failure === undefined && this.pending === undefined
  }

  /** Sends the request and receives the whole answer. `idleTimeoutMs` without a byte in either direction is an error. */
  async exchange(
    request: WireRequest,
    idleTimeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ReceivedResponse> {
    if (this.failure !== undefined) throw this.failure
    if (signal?.aborted === true) throw abortError(signal)
    const abort = () => this.close(abortError(signal))
    signal?.addEventListener('abort', abort, { once: true })
    this.socket.ref()
    this.socket.setTimeout(idleTimeoutMs)
    try {
      return await new Promise((resolve, reject) => {
        this.pending = {
          reader: new ResponseReader(request.method, request.limitBytes, this.scratch, request.allocate),
          resolve,
          reject,
        }
        this.send(request)
      })
    } finally {
      signal?.removeEventListener('abort', abort)
      this.socket.setTimeout(0)
      // An idle connection must not keep the process alive.
      this.socket.unref()
    }
  }

  /** Ends the connection; a running request is rejected with `why`. */
  close(why: Error): void {
    this.failure ??= why
    clearTimeout(this.lastWait)
    this.hangUp()
    const pending = this.pending
    this.pending = undefined
    pending?.reject(this.failure)
  }

  /**
   * Node calls this when a write fails. A server that refuses early (403, 412) closes the connection without reading the rest of the
   * body, so the write fails while the answer is already in the receive buffer: it is read before the socket is destroyed.
   */
  private destroyed(error: Error | undefined): net.Socket {
    const isWrite = (error as { syscall?: string } | undefined)?.syscall === 'write'
    if (!isWrite || this.pending === undefined || this.failure !== undefined) return this.hangUp(error)
    this.lastWait ??= setTimeout(() => this.close(error as Error), AFTER_WRITE_FAILURE_MS)
    return this.socket
  }

  private send({ head, body = NO_BODY }: WireRequest): void {
    this.bodyIsSent = false
    this.socket.cork()
    this.socket.write(head, 'latin1')
    this.sendFrom(body, 0)
    this.socket.uncork()
  }

  private sendFrom(body: Uint8Array, from: number): void {
    const end = this.secure ? Math.min(from + TLS_PIECE_BYTES, body.length) : body.length
    this.socket.write(body.subarray(from, end), (error) => {
      if (this.failure !== undefined || (error ?? null) !== null) return
      if (end < body.length) this.sendFrom(body, end)
      else this.bodyIsSent = true
    })
  }

  private copied(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const into = this.pending?.reader.target() ?? this.scratch
      const count = Math.min(into.length, bytes.length - at)
      into.set(bytes.subarray(at, at + count))
      at += count
      if (!this.received(count)) return
    }
  }

  private received(count: number): boolean {
    const pending = this.pending
    if (pending === undefined) {
      this.close(failure('EPROTO', 'the server speaks without being asked'))
      return false
    }
    try {
      const response = pending.reader.received(count)
      if (response !== undefined) this.answer(response)
    } catch (error) {
      this.close(error as Error)
    }
    return this.failure === undefined
  }

  private ended(): void {
    if (this.pending === undefined) {
      this.close(failure('ECONNRESET', 'the server closed the connection'))
      return
    }
    try {
      this.answer(this.pending.reader.ended())
    } catch (error) {
      this.close(error as Error)
    }
  }

  private answer(response: ReceivedResponse): void {
    const pending = this.pending
    this.pending = undefined
    // If the answer (a refusal) comes before the whole request was sent, the rest of the request would precede the next request.
    if (!response.reusable || !this.bodyIsSent) this.close(failure('ECONNRESET', 'the connection is used up'))
    pending?.resolve(response)
  }
}

/** The path through a proxy: a tunnel for TLS; the proxy itself forwards plain requests. undefined: a direct connection. */
function wayTo({ host, port, secure, proxy, proxyTrust }: Endpoint) {
  if (proxy === undefined) return undefined
  if (secure) return openTunnel(proxy, { host, port }, proxyTrust)
  const socket = connectTo(proxy, proxyTrust)
  const ready = new Promise<void>((resolve, reject) => {
    // An error of its own: otherwise a bad certificate of the proxy would be blamed on the store.
    const fail = (error: Error) =>
      reject(new ProxyError(`proxy ${proxyName(proxy)}: ${error.message}`, { cause: error }))
    socket.once(proxy.protocol === 'https:' ? 'secureConnect' : 'connect', resolve).once('error', fail)
  })
  return { socket, ready }
}

export function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

export function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error
    ? reason
    : Object.assign(new Error('aborted', { cause: reason }), { name: 'AbortError' })
}
