// ObjectStore over an S3 bucket: keys below `<prefix>/plugins/dormouse/`, every object written once, every call safe to repeat.

import { randomBytes } from 'node:crypto'
import { STORE_RETRY } from '#shared/kernel/call-limits.ts'
import { type Clock, systemClock } from '#shared/kernel/clock.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { type RetryPolicy, retry } from '#shared/kernel/retry.ts'
import type { IncompleteUpload, IncompleteUploads, StoredObject } from '#shared/ports/object-store.ts'
import type { OpenedStore, OpenStore } from '#shared/ports/stores.ts'
import { ForeignAnswer, isMangled } from './answers.ts'
import type { IncompletePosition, PutCall, S3Calls } from './calls.ts'
import { type CallContext, statusOf, translate } from './errors.ts'
import { DEFAULT_TRANSPORT, type TransportOptions } from './options.ts'
import { requireS3, type S3Settings } from './settings.ts'

/**
 * Velero refuses a location that contains folders other than its own; `plugins` is one of its own
 * (pkg/persistence/object_store_layout.go).
 */
const REPOSITORY_FOLDER = 'plugins/dormouse/'

export type S3StoreOptions = Partial<TransportOptions> & {
  /**
   * false: the server ignores or refuses `If-None-Match`, so putIfAbsent first looks and then writes. Two writers that do so at the same
   * moment both believe that they were first: only for one writer at a time (exclusive prune).
   */
  conditionalPut?: boolean
  retry?: Partial<Pick<RetryPolicy, 'attempts' | 'firstDelayMs' | 'maxDelayMs'>>
  clock?: Clock
}

/** Consecutive pages without a further key that nevertheless promise more: some stores return a few when many objects were deleted. */
const MOST_EMPTY_PAGES = 100

/** A page has a thousand uploads. */
const MOST_INCOMPLETE_PAGES = 100

export type S3Store = Required<OpenedStore>

export const openS3: OpenStore = (settings, { attempts, ...options } = {}) =>
  createS3Store(requireS3(settings), { ...options, ...(attempts === undefined ? {} : { retry: { attempts } }) })

export function createS3Store(settings: S3Settings, options: S3StoreOptions = {}): S3Store {
  return new BucketStore(settings, options)
}

class BucketStore implements S3Store {
  readonly location: string
  readonly incompleteUploads: IncompleteUploads = {
    list: (signal) => this.listIncomplete(signal),
    abort: (upload, signal) => this.abortIncomplete(upload, signal),
  }
  private readonly settings: S3Settings
  private readonly options: S3StoreOptions
  private readonly root: string
  private calls: Promise<S3Calls> | undefined
  private loadedCalls: S3Calls | undefined

  constructor(settings: S3Settings, options: S3StoreOptions) {
    this.settings = settings
    this.options = options
    this.root = settings.prefix === '' ? REPOSITORY_FOLDER : `${settings.prefix}/${REPOSITORY_FOLDER}`
    this.location = `s3://${settings.bucket}/${this.root.slice(0, -1)}`
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return await this.call('get', key, signal, (calls) => orUndefined(calls.get(this.root + key, signal)))
  }

  async getRange(
    key: string,
    offsetBytes: number,
    lengthBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    return await this.call('get part of', key, signal, async (calls) => {
      try {
        const bytes = await orUndefined(calls.getRange(this.root + key, offsetBytes, Math.max(1, lengthBytes), signal))
        return lengthBytes === 0 ? bytes?.subarray(0, 0) : bytes
      } catch (error) {
        if (statusOf(error) === 416) return new Uint8Array(0)
        throw error
      }
    })
  }

  async putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    // Marks the object that this call writes, so that the call recognizes it when the answer was lost.
    const token = randomBytes(8).toString('hex')
    const onlyIfAbsent = this.options.conditionalPut !== false
    const mine = { key: this.root + key, body, token, onlyIfAbsent }
    let attempts = 0
    let refusal: unknown
    const look = async (calls: S3Calls) => {
      try {
        return await isOurs(calls, mine, signal)
      } catch (error) {
        // A refused HEAD carries no error code: the refusal of the PUT before says more.
        throw statusOf(error) !== undefined && statusOf(refusal) !== undefined ? refusal : error
      }
    }
    return await this.call('put', key, signal, async (calls) => {
      attempts++
      // A repeated PUT looks first: the attempt before may have succeeded, and a server that refuses 16 MiB by closing the connection
      // early may continue to do so.
      if (attempts > 1 || !onlyIfAbsent) {
        const ours = await look(calls)
        if (ours !== undefined) return ours && attempts > 1
      }
      try {
        await calls.put(mine, signal)
        return true
      } catch (error) {
        refusal = error
        if (statusOf(error) !== 412) throw error
      }
      if (attempts === 1) return false
      // Even after that look, an earlier attempt may have succeeded.
      const ours = await look(calls)
      if (ours !== undefined) return ours
      throw new RetryableError('S3Unavailable', `put ${key} in ${this.location}: the object in its place went away`)
    })
  }

  /**
   * Requires that each key comes after the one before, over all pages, so that a list can neither run in a circle nor return a key twice.
   * None of Dormouse's keys contains a character that a store cannot return: mangled names have no place in that order and are not
   * checked.
   */
  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const refuse = (how: string) =>
      new TerminalError('S3Unsupported', `list ${prefix} in ${this.location}: the store's list ${how}`)
    let from: string | undefined
    let last = ''
    let emptyPages = 0
    do {
      const page = await this.call('list', prefix, signal, (calls) => calls.list(this.root + prefix, from, signal))
      const before = last
      for (const object of page.objects) {
        const key = object.key.slice(this.root.length)
        if (!isMangled(key)) {
          if (!isAfter(object.key, last)) throw refuse('is not in the order of its keys')
          last = object.key
        }
        yield { ...object, key }
      }
      emptyPages = last === before ? emptyPages + 1 : 0
      if (page.next !== undefined && (page.next === from || emptyPages > MOST_EMPTY_PAGES))
        throw refuse('leads nowhere')
      from = page.next
    } while (from !== undefined)
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    await this.call('delete', key, signal, (calls) => orUndefined(calls.delete(this.root + key, signal)))
  }

  /**
   * Refuses a position that comes twice, and more pages than a bucket in use may have: the remaining uploads are left for another time.
   */
  private async *listIncomplete(signal?: AbortSignal): AsyncIterable<IncompleteUpload> {
    const refuse = (how: string) =>
      new TerminalError('S3Unsupported', `list unfinished uploads in ${this.location}: the store's list ${how}`)
    let at: IncompletePosition = {}
    for (let pages = 0; pages < MOST_INCOMPLETE_PAGES; pages++) {
      const page = await this.call('list unfinished uploads', '', signal, (calls) =>
        calls.listIncomplete(this.root, at, signal),
      )
      // Not every store respects the prefix, and uploads outside of it must not be touched.
      for (const upload of page.uploads) {
        if (upload.key.startsWith(this.root)) yield { ...upload, key: upload.key.slice(this.root.length) }
      }
      if (page.next === undefined) return
      if (!leadsOn(page.next, at)) throw refuse('leads nowhere')
      at = page.next
    }
    throw refuse(`has more than ${MOST_INCOMPLETE_PAGES} pages`)
  }

  private async abortIncomplete({ key, id }: IncompleteUpload, signal?: AbortSignal): Promise<void> {
    await this.call('abort the upload of', key, signal, async (calls) => {
      try {
        await calls.abortIncomplete(this.root + key, id, signal)
      } catch (error) {
        if (statusOf(error) !== 404 || (error as Error).name !== 'NoSuchUpload') throw error
      }
    })
  }

  release(bytes: Uint8Array): void {
    this.loadedCalls?.release(bytes)
  }

  close(): void {
    // If the client could not be created, there is nothing to close, and the caller that asked for it got the error.
    this.calls?.then(
      (calls) => calls.close(),
      () => {},
    )
    this.calls = undefined
  }

  private async call<T>(
    verb: string,
    key: string,
    signal: AbortSignal | undefined,
    act: (calls: S3Calls) => Promise<T>,
  ): Promise<T> {
    const context = this.contextOf(`${verb} ${key}`)
    const attempt = async () => {
      signal?.throwIfAborted()
      try {
        return await act(await this.loaded())
      } catch (error) {
        // If the caller stopped the call, the caller's reason is the error, not the store's.
        signal?.throwIfAborted()
        throw translate(error, context)
      }
    }
    const policy = { ...STORE_RETRY, ...this.options.retry, ...(signal === undefined ? {} : { signal }) }
    return await retry(attempt, policy, this.options.clock ?? systemClock)
  }

  /** The SDK is loaded with the first call: functions that make no call start without it. */
  private loaded(): Promise<S3Calls> {
    if (this.calls !== undefined) return this.calls
    const calls = import('./calls.ts').then(({ S3Calls }) => {
      this.loadedCalls = new S3Calls(this.settings, { ...DEFAULT_TRANSPORT, ...this.options })
      return this.loadedCalls
    })
    this.calls = calls
    calls.catch(() => {
      if (this.calls === calls) this.calls = undefined
    })
    return calls
  }

  private contextOf(what: string): CallContext {
    return {
      what: `${what} in ${this.location}`,
      bucket: this.settings.bucket,
      region: this.settings.region,
      caCert: this.settings.caCert,
      address: this.settings.url ?? `the S3 endpoint of ${this.settings.region}`,
      credentialOrigin: this.settings.credentialOrigin ?? defaultOrigin(this.settings),
    }
  }
}

/**
 * A missing object is an answer; a missing bucket is an error, and so is a 404 from something that is no S3 store. `code` is the SDK's
 * name for the answer: HEAD answers have no body, so they can only say NotFound.
 */
async function orUndefined<T>(call: Promise<T>, code: 'NoSuchKey' | 'NotFound' = 'NoSuchKey'): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (statusOf(error) === 404 && (error as Error).name === code) return undefined
    throw error
  }
}

/** Whether an earlier attempt of this very call wrote the object at this key; undefined: there is no object. */
async function isOurs(
  calls: S3Calls,
  { key, body, token, onlyIfAbsent }: PutCall,
  signal: AbortSignal | undefined,
): Promise<boolean | undefined> {
  const found = await orUndefined(calls.head(key, signal), 'NotFound')
  if (found === undefined) {
    // The PUT that follows would overwrite an existing object, if the 404 did not come from the store.
    if (onlyIfAbsent || (await calls.isAbsent(key, signal))) return undefined
    throw new ForeignAnswer('it says 404 to a HEAD, and the object is there')
  }
  if (found.token !== undefined) return found.token === token
  // The store keeps no metadata. Equal bytes are as good, because then the two writers cannot be told apart.
  if (found.bytes !== body.length) return false
  const stored = await orUndefined(calls.get(key, signal))
  return stored === undefined ? undefined : Buffer.compare(stored, body) === 0
}

/** Uploads of the same key are in an order that the store chooses. */
function leadsOn(next: IncompletePosition, at: IncompletePosition): boolean {
  const [key, before] = [next.key ?? '', at.key ?? '']
  return isAfter(key, before) || (key !== '' && key === before && next.id !== at.id)
}

/** In the order of UTF-8, which differs from JavaScript's for characters beyond the first plane. */
function isAfter(key: string, before: string): boolean {
  return Buffer.compare(Buffer.from(key, 'utf8'), Buffer.from(before, 'utf8')) > 0
}

function defaultOrigin(settings: S3Settings): string {
  return settings.credentials === undefined ? "the SDK's default chain" : 'the settings'
}
