// Where a repository keeps its objects (docs/development/add-a-store.md#what-the-engine-asks-of-a-store).

/**
 * The protocol requires that a read after a write sees it, that a list after a write names it (both strong), and that `putIfAbsent` is
 * atomic. Every object is written once and never changed. All calls may be repeated. The store retries network errors itself, and finally
 * throws RetryableError; refusals (credentials, missing bucket) are TerminalErrors.
 */
export interface ObjectStore {
  /** The whole object; undefined: there is no object with that key. */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** `lengthBytes` from `offsetBytes`, fewer at the object's end; undefined: there is no object with that key. */
  getRange(key: string, offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** true: created by this call. false: an object with that key exists, and is not changed. */
  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean>
  /** Every object whose key starts with `prefix`, in key order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject>
  /** Removes it; succeeds if there is none. TerminalError `OBJECT_LOCKED`: the store refuses to delete it for now. */
  delete(key: string, signal?: AbortSignal): Promise<void>
  /**
   * Multipart uploads that were begun here and never finished: they are in no list, and cost money. Left out by stores that have
   * none. Dormouse itself writes every object in one request.
   */
  readonly incompleteUploads?: IncompleteUploads | undefined
  /** For messages, as an address: `file:///backups/shop`. Never a credential. */
  readonly location: string
}

/** Reason of the TerminalError when a retention or a legal hold keeps an object. */
export const OBJECT_LOCKED = 'S3ObjectLocked'

export type StoredObject = { key: string; bytes: number; modifiedMs: number }

/** `startedMs` by the store's own time. `key` is relative to the repository like every other; `id` is the store's. */
export type IncompleteUpload = { key: string; id: string; startedMs: number }

export type IncompleteUploads = {
  list(signal?: AbortSignal): AsyncIterable<IncompleteUpload>
  /** Removes it; succeeds if there is none. */
  abort(upload: IncompleteUpload, signal?: AbortSignal): Promise<void>
}
