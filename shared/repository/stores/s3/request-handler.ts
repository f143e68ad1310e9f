// Replaces the SDK's HTTP layer: `GetObject` through the SDK's own handler reads 500 MB per CPU-second, this one four times as much,
// because a body goes from the socket directly into its final buffer. It supports only HTTP/1.1 to a fixed address.

import { Readable } from 'node:stream'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import type { Trust } from '#shared/adapters/net/trust.ts'
import { proxyAuthorization, proxyFor } from '#shared/kernel/proxy.ts'
import { MOST_LIST_BYTES } from './answers.ts'
import type { BodyBuffers } from './body-buffers.ts'
import type { WireRequest } from './connection.ts'
import { ConnectionPool, type PoolLimits } from './connection-pool.ts'
import type { ReceivedResponse } from './response-reader.ts'

type SdkHandler = Extract<S3ClientConfig['requestHandler'], { handle: unknown }>
type SdkRequest = Parameters<SdkHandler['handle']>[0]
type SdkResponse = { statusCode: number; reason: string; headers: Record<string, string>; body: ReceivedBody }
type SdkOptions = { abortSignal?: unknown }

type HandlerOptions = PoolLimits & {
  /** The longest time without a byte in either direction. */
  idleTimeoutMs: number
  maxBodyBytes: number
  buffers: BodyBuffers
  /** Created on first use: most stores never need it. */
  trust: () => Trust
  proxyTrust: () => Trust
}

/** The whole body, already in memory. It is a stream only because the SDK requires one. */
export class ReceivedBody extends Readable {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    super()
    this.bytes = bytes
  }

  override _read(): void {
    if (this.bytes.length > 0) this.push(this.bytes)
    this.push(null)
  }
}

export class SocketHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  private readonly options: HandlerOptions
  private readonly pools = new Map<string, ConnectionPool>()

  constructor(options: HandlerOptions) {
    this.options = options
  }

  async handle(request: SdkRequest, { abortSignal }: SdkOptions = {}): Promise<{ response: SdkResponse }> {
    const signal = abortSignal instanceof AbortSignal ? abortSignal : undefined
    const proxy = proxyFor(addressOf(request))
    const wire = this.toWire(request, proxy)
    const pool = this.poolFor(request, proxy)
    return { response: toSdkResponse(await this.exchange(pool, wire, signal)) }
  }

  /** Repeats a request on a fresh connection if the server closed an idle one, without counting an attempt. PUT is not repeated. */
  private async exchange(
    pool: ConnectionPool,
    wire: WireRequest,
    signal: AbortSignal | undefined,
  ): Promise<ReceivedResponse> {
    let stale = false
    const once = (fresh: boolean) =>
      pool.use(
        async (connection, reused) => {
          stale = reused && wire.method !== 'PUT'
          return await connection.exchange(wire, this.options.idleTimeoutMs, signal)
        },
        signal,
        fresh,
      )
    try {
      return await once(false)
    } catch (error) {
      if (!stale || signal?.aborted === true || !isHangUp(error)) throw error
      return await once(true)
    }
  }

  private toWire(request: SdkRequest, proxy: URL | undefined): WireRequest {
    const body = bodyBytes(request.body)
    // A proxy must receive the whole address (RFC 9112, 3.2.2); inside TLS the proxy does not see the request.
    const plainProxy = request.protocol === 'https:' ? undefined : proxy
    const credentials = plainProxy === undefined ? undefined : proxyAuthorization(plainProxy)
    const headers: Record<string, string> = { ...request.headers }
    if (credentials !== undefined) headers['proxy-authorization'] = credentials
    if (body !== undefined) headers['content-length'] = String(body.length)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${checked(value)}\r\n`)
    const origin = plainProxy === undefined ? '' : addressOf(request).origin
    const path = `${origin}${request.path}${queryText(request.query ?? {})}`
    const head = `${request.method} ${checked(path)} HTTP/1.1\r\n${lines.join('')}\r\n`
    return {
      method: request.method,
      head,
      body,
      limitBytes: isObject(request) ? this.options.maxBodyBytes : Math.min(this.options.maxBodyBytes, MOST_LIST_BYTES),
      allocate: (bytes) => this.options.buffers.take(bytes),
    }
  }

  private poolFor(request: SdkRequest, proxy: URL | undefined): ConnectionPool {
    const secure = request.protocol === 'https:'
    const port = request.port ?? (secure ? 443 : 80)
    const host = request.hostname.replace(/^\[(.*)\]$/, '$1')
    const name = `${request.protocol}//${host}:${port} ${proxy?.href ?? ''}`
    const known = this.pools.get(name)
    if (known !== undefined) return known
    const { trust, proxyTrust } = this.options
    const pool = new ConnectionPool({ host, port, secure, proxy, trust, proxyTrust }, this.options)
    this.pools.set(name, pool)
    return pool
  }

  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): object {
    return {}
  }

  destroy(): void {
    for (const pool of this.pools.values()) pool.close()
    this.pools.clear()
  }
}

function addressOf({ protocol, hostname, port }: SdkRequest): URL {
  return new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`)
}

/** Whether this is a GET of one object; lists have a query of their own. */
function isObject({ method, query = {} }: SdkRequest): boolean {
  return method === 'GET' && !('list-type' in query) && !('uploads' in query)
}

function isHangUp(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(String((error as { code?: unknown }).code))
}

function toSdkResponse(response: ReceivedResponse): SdkResponse {
  const { statusCode, reason, headers, body } = response
  return { statusCode, reason, headers: { ...headers }, body: new ReceivedBody(body) }
}

function bodyBytes(body: unknown): Uint8Array | undefined {
  if (body === undefined || body === null) return undefined
  if (body instanceof Uint8Array) return body
  if (typeof body === 'string') return Buffer.from(body, 'utf8')
  throw new TypeError('only bodies in memory are sent')
}

/** As the SDK signs it: every name and value escaped, and a name without a value alone. */
function queryText(query: Record<string, string | string[] | null>): string {
  const pairs = Object.keys(query)
    .sort()
    .flatMap((name) =>
      [query[name] ?? null]
        .flat()
        .map((value) => (value === null ? escaped(name) : `${escaped(name)}=${escaped(value)}`)),
    )
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** A value from outside must not begin a new line of the request. */
function checked(text: string): string {
  if (/[\r\n\0]|[^\x20-\xff\t]/.test(text))
    throw new TypeError('a request header or path holds a character that HTTP does not allow')
  return text
}
