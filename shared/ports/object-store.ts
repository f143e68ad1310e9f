// Where a repository keeps its objects (docs/development/add-a-store.md#what-the-engine-asks-of-a-store).

/**
 * The protocol requires of every store:
 * - A read after a write sees it, and a list after a write names it, in every process at once.
 * - `putIfAbsent` is atomic: of all writers of a key exactly one wins.
 * - An object is whole or does not exist, also after a crash in the middle of its put.
 * - An object is durable before `putIfAbsent` answers: an accepted object outlives a loss of power.
 * - `modifiedMs` comes from the store's own clock, one for all objects, and never from the clock of the process that wrote the object.
 * Every object is written once and never changed. All calls may be repeated. The store retries network errors itself, and finally throws
 * RetryableError; refusals (credentials, missing bucket) are TerminalErrors.
 */
export interface ObjectStore {
  /** The whole object; undefined: there is no object with that key. */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** `lengthBytes` from `offsetBytes`, fewer at the object's end; undefined: there is no object with that key. */
  getRange(key: string, offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /**
   * true: created by this call. false: an object with that key exists that this call did not create, and is not changed. If the answer of
   * an attempt is lost, the store itself finds out whether the object is that attempt's, and answers true for its own. After an error
   * nobody knows whether the object exists: the caller may call again, and false may then mean the object of its own earlier call
   * (`putOnce` in shared/repository/core compares the bytes).
   */
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

/**
 * Reason of the TerminalError when a retention or a legal hold keeps an object, in a store of any kind. It has the name of the first kind
 * that had locks, because a reason never changes again.
 */
export const OBJECT_LOCKED = 'S3ObjectLocked'

/** `modifiedMs`: when the store accepted the object, by the store's own clock. */
export type StoredObject = { key: string; bytes: number; modifiedMs: number }

/** `startedMs` by the store's own time. `key` is relative to the repository like every other; `id` is the store's. */
export type IncompleteUpload = { key: string; id: string; startedMs: number }

export type IncompleteUploads = {
  list(signal?: AbortSignal): AsyncIterable<IncompleteUpload>
  /** Removes it; succeeds if there is none. */
  abort(upload: IncompleteUpload, signal?: AbortSignal): Promise<void>
}
