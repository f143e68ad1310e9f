// Where a repository keeps its objects (docs/development/add-a-store.md#what-the-engine-asks-of-a-store).

/**
 * Needs of the protocol: a read after a write sees it, a list after a write names it (both strong), and `putIfAbsent` is
 * atomic. Every object is written once and never changed. All calls may be repeated; network trouble is retried inside
 * and ends as RetryableError; refusals (credentials, missing bucket) as TerminalError.
 */
export interface ObjectStore {
  /** The whole object; undefined: nothing at that key. */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** `lengthBytes` from `offsetBytes`, fewer at the object's end; undefined: nothing at that key. */
  getRange(key: string, offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** true: created by this call. false: something already stands there, and is left as it is. */
  putIfAbsent(key: string, body: Uint8Array, signal?: AbortSignal): Promise<boolean>
  /** Every object whose key starts with `prefix`, in key order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject>
  /** Removes it; nothing there is a success. TerminalError `OBJECT_LOCKED`: the store keeps it for now. */
  delete(key: string, signal?: AbortSignal): Promise<void>
  /**
   * What was begun to be written here and never finished: it is in no list, and is paid for. Left out by stores that have
   * none. Dormouse itself writes every object in one piece.
   */
  readonly incompleteUploads?: IncompleteUploads | undefined
  /** For messages, as an address: `file:///backups/shop`. Never a credential. */
  readonly location: string
}

/** Reason of the TerminalError when a retention or a legal hold keeps an object. */
export const OBJECT_LOCKED = 'S3ObjectLocked'

export type StoredObject = { key: string; bytes: number; modifiedMs: number }

/** `startedMs` by the store's own time. `key` is below the repository like every other; `id` is the store's. */
export type IncompleteUpload = { key: string; id: string; startedMs: number }

export type IncompleteUploads = {
  list(signal?: AbortSignal): AsyncIterable<IncompleteUpload>
  /** Removes it; nothing there is a success. */
  abort(upload: IncompleteUpload, signal?: AbortSignal): Promise<void>
}
