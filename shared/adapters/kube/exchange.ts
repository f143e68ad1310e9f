// One HTTP exchange with the API server: JSON in both directions, inside a time limit.

import type { ClientRequest, IncomingMessage } from 'node:http'
import { type Agent, request as httpsRequest } from 'node:https'
import { MiB } from '#shared/kernel/units.ts'

export type ApiRequest = {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Path and query. */
  path: string
  body?: { type: string; value: object }
  /** The connection is closed when an answer is longer: TooLong. */
  maxBytes?: number
}

/** Far above any object that etcd accepts. */
const ANSWER_MAX_BYTES = 64 * MiB

/** The answer exceeded the limit, so it was not read to its end. */
export class TooLong extends Error {}

/** `body`: undefined when there was none or it was not JSON. */
export type ApiAnswer = {
  status: number
  body: unknown
  /** Length of the body. */
  bytes: number
  retryAfterSeconds: number | undefined
  warnings: string[]
  /** The server's time, epoch ms; undefined: the answer has none. */
  dateMs: number | undefined
}

type Way = { server: URL; agent: Agent; headers: Record<string, string>; timeoutMs: number }

/** Rejects with the error of the connection. */
export async function exchange(request: ApiRequest, way: Way): Promise<ApiAnswer> {
  try {
    return await send(request, way)
  } catch (error) {
    // The server may close an idle connection at the moment when it is reused. Only a read is repeated automatically.
    if (request.method === 'GET' && error instanceof StaleConnection) return await send(request, way)
    throw error
  }
}

class StaleConnection extends Error {}

async function send(request: ApiRequest, way: Way): Promise<ApiAnswer> {
  const { timeoutMs } = way
  const outgoing = open(request, way)
  const timer = setTimeout(() => outgoing.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs)
  try {
    const response = await responseTo(outgoing)
    const bytes = await bytesOf(response, request.maxBytes ?? ANSWER_MAX_BYTES)
    return {
      status: response.statusCode ?? 0,
      body: jsonOf(bytes.toString('utf8')),
      bytes: bytes.length,
      retryAfterSeconds: secondsOf(response.headers['retry-after']),
      warnings: warningsOf(response.headers['warning']),
      dateMs: Date.parse(response.headers.date ?? '') || undefined,
    }
  } finally {
    clearTimeout(timer)
  }
}

function open({ method, path, body }: ApiRequest, { server, agent, headers }: Way): ClientRequest {
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body.value))
  const bodyHeaders =
    payload === undefined ? {} : { 'content-type': body?.type, 'content-length': String(payload.length) }
  const options = { method, agent, headers: { ...headers, ...bodyHeaders } }
  const url = new URL(`${server.pathname.replace(/\/$/, '')}${path}`, server)
  return httpsRequest(url, options).end(payload)
}

function responseTo(outgoing: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  outgoing.once('response', resolve)
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    const stale = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    reject(stale ? new StaleConnection(error.message, { cause: error }) : error)
  })
  return promise
}

/** Leaving the loop destroys the response, and its connection with it. */
async function bytesOf(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response) {
    length += chunk.length
    if (length > maxBytes) throw new TooLong(`the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // a proxy's page, or the text "404 page not found"
  }
}

/** The API server sends seconds; a date is ignored. */
function secondsOf(retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined
}

/** `299 - "unknown field \"status.phas\""`: the server's warning about a request that it accepted. */
function warningsOf(header: string | string[] | undefined): string[] {
  return [header ?? []]
    .flat()
    .flatMap((text) => [...text.slice(0, 4096).matchAll(/299 \S+ ("(?:[^"\\]|\\.)*")/g)].map(unquoted))
}

function unquoted([, quoted = '""']: RegExpExecArray): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')
}
