// Pages of a list whose objects may each be as large as etcd allows: page sizes are chosen so that an answer stays bounded.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { Cursor, Page, PageOptions } from '#shared/ports/cluster.ts'
import { listIn } from './echo.ts'
import { type ApiAnswer, TooLong } from './exchange.ts'
import { pagePath } from './paths.ts'
import type { Attempt } from './refusals.ts'
import type { Transport } from './transport.ts'

/** JSON of many small values takes twenty times its length in memory, so a page is small. */
const PAGE_MAX_BYTES = 3 * MiB
/** The server collects a page before it sends the first byte: 128 hostile objects are 192 MB there, 500 would be 750. */
const MOST_OBJECTS = 128
const FIRST_OBJECTS = 32
/** The factor by which the next request is smaller after a page that was too long. */
const SHRINK = 8

/**
 * If a page gets too long, the connection is closed and the page requested again with fewer objects. A page with a single object is
 * accepted at any length, because etcd limits it. While pages are short, each next page has twice as many objects.
 */
export async function nextPage<Name extends KindName>(
  send: Transport,
  kind: Name,
  options: PageOptions,
  from?: Cursor,
): Promise<Page<Name>> {
  const most = options.limit ?? MOST_OBJECTS
  let limit = Math.min(most, from?.limit ?? FIRST_OBJECTS)
  let token = from?.token
  for (;;) {
    const answer = await ask(send, pagePath(kind, options, limit, token), limit)
    if (answer === 'too long') {
      limit = Math.max(1, Math.floor(limit / SHRINK))
      continue
    }
    const later = token !== undefined && answer.status === 410 ? continueOf(answer) : undefined
    if (later === undefined) return pageOf(answer, kind, options, Math.min(most, grown(limit, answer.bytes)))
    token = later // the token has expired; this one continues at the same place, in the current state
  }
}

async function ask(send: Transport, path: string, limit: number): Promise<ApiAnswer | 'too long'> {
  try {
    return await send({ method: 'GET', path, ...(limit > 1 ? { maxBytes: PAGE_MAX_BYTES } : {}) })
  } catch (error) {
    if (error instanceof TooLong) return 'too long'
    throw error
  }
}

function grown(limit: number, bytes: number): number {
  return bytes * 4 > PAGE_MAX_BYTES ? limit : Math.min(MOST_OBJECTS, limit * 2)
}

function continueOf({ body }: ApiAnswer): string | undefined {
  return (body as { metadata?: { continue?: string } } | undefined)?.metadata?.continue || undefined
}

function pageOf<Name extends KindName>(
  answer: ApiAnswer,
  kind: Name,
  { namespace }: PageOptions,
  limit: number,
): Page<Name> {
  const attempt: Attempt = { verb: 'list', kind, namespace, name: undefined }
  const { items } = listIn(answer, attempt)
  const { apiVersion, kind: own } = KINDS[kind]
  // Items of built-in kinds lack these two fields.
  const objects = items.map((item) => ({ apiVersion, kind: own, ...item }) as KindTypes[Name])
  const token = continueOf(answer)
  return { objects, bytes: answer.bytes, next: token === undefined ? undefined : { token, limit } }
}
