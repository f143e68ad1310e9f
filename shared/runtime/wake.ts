// Sends the event that wakes a function: the sweep uses it for objects that no other event reached.

import { KINDS } from '#shared/api/kinds.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { openRequest } from './outgoing.ts'
import { type ObjectRef, refText, WAKE_TYPE } from './ref.ts'

/**
 * Resolves to `accepted` on a 2xx, and to `sent` when there is no answer within `waitMs`. A function that is called
 * directly answers after its slice, and closing the connection would end the slice, so the request then stays open by itself.
 * RetryableError: refused or not reachable.
 */
export async function sendWake(url: string, ref: ObjectRef, options: { waitMs?: number } = {}) {
  const { apiVersion, kind, plural } = KINDS[ref.kind]
  const { name, namespace = '' } = ref
  const body = JSON.stringify({ apiVersion, kind, namespace, name })
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'ce-specversion': '1.0',
    'ce-id': crypto.randomUUID(),
    'ce-type': WAKE_TYPE,
    'ce-source': 'dormouse/sweep',
    'ce-subject': `/apis/${apiVersion}/namespaces/${namespace}/${plural}/${name}`,
    'ce-apiversion': apiVersion,
    'ce-kind': kind,
    'ce-name': name,
    'ce-namespace': namespace,
  }
  return await post(url, headers, body, refText(ref), options.waitMs ?? 2000)
}

/** A function's address without a broker. `template` contains `{step}`. */
export function functionUrl(template: string, step: string): string {
  return template.replaceAll('{step}', step)
}

/** Requests without an answer yet: each holds a connection, and silent receivers must not add up over the minutes. */
let openRequests = 0
const MOST_OPEN = 512
/** Knative ends every request after this time. */
const LONGEST_MS = 600_000

type Headers = Record<string, string | number>

async function post(url: string, headers: Headers, body: string, what: string, waitMs: number) {
  const { promise, resolve, reject } = Promise.withResolvers<'accepted' | 'sent'>()
  const fail = (why: string, cause?: unknown) =>
    reject(new RetryableError('WakeFailed', `wake ${what} by ${url}: ${why}`, { cause }))
  if (openRequests >= MOST_OPEN)
    throw new RetryableError('WakeFailed', `wake ${what}: ${MOST_OPEN} are not answered yet`)
  const request = openRequest(url, { method: 'POST', headers }, (response) => {
    const status = response.statusCode ?? 0
    response.resume()
    if (status >= 200 && status < 300) resolve('accepted')
    else fail(`answered ${status}`)
  })
  openRequests++
  const longest = setTimeout(() => request.destroy(), LONGEST_MS).unref()
  request.once('close', () => {
    openRequests--
    clearTimeout(longest)
  })
  request.on('error', (error) => fail(error.message, error))
  request.end(body)
  const timer = setTimeout(() => {
    if (request.writableFinished) resolve('sent')
    else request.destroy(new Error(`not connected within ${waitMs} ms`))
  }, waitMs)
  return await promise.finally(() => clearTimeout(timer))
}
