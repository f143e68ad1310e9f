// The Kubernetes API as Dormouse uses it: read fresh, write with the resourceVersion that was read.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'

export type ListOptions = { namespace?: string; labelSelector?: string }

/** `limit`: at most so many in one page. `notNamespaces`: leaves these out, at the server. */
export type PageOptions = ListOptions & { limit?: number; notNamespaces?: readonly string[] }

/** Where a list goes on. Only the adapter that gave it can read it; it ends after some minutes. */
export type Cursor = { readonly token: string; readonly limit: number }

/** `bytes`: about what its objects take on the wire. `next` undefined: this was the last page. */
export type Page = { objects: KubeObject[]; bytes: number; next: Cursor | undefined }

/**
 * NotFound on read is `undefined`. A write whose resourceVersion is stale, a create of something that exists and a
 * failed precondition throw ConflictError. 429, 5xx and no answer: RetryableError. Other refusals (422, 403): TerminalError.
 */
export interface Cluster {
  /**
   * Now by the API server's own clock, in epoch ms, to a second: what `creationTimestamp` is to be compared with, as the clocks of nodes differ.
   * Before its first answer, this node's clock.
   */
  nowMs(): number
  read(kind: KindName, namespace: string | undefined, name: string): Promise<KubeObject | undefined>
  /** All of them at once: for what is small and few. */
  list(kind: KindName, options?: ListOptions): Promise<KubeObject[]>
  /**
   * A part of the list, of bounded size: a few megabytes, or a single object. What stands there while all pages are read is in one of
   * them, once; what is made or goes meanwhile may or may not be.
   */
  page(kind: KindName, options?: PageOptions, from?: Cursor): Promise<Page>
  /** Creates it. ConflictError with reason `AlreadyExists` when the name is taken. */
  create(kind: KindName, object: KubeObject): Promise<KubeObject>
  /**
   * JSON merge patch of the object; `metadata.resourceVersion` of `seen` is sent along, so a stale write fails.
   * For kinds with a status subresource the server ignores `status` here: use patchStatus.
   */
  patch(kind: KindName, seen: KubeObject, change: object): Promise<KubeObject>
  patchStatus(kind: KindName, seen: KubeObject, status: object): Promise<KubeObject>
  /**
   * Deletes exactly the object that was seen (UID precondition), with `unchanged` only as it was seen (resourceVersion, too), else
   * ConflictError. Absent is a success.
   */
  delete(kind: KindName, seen: KubeObject, precondition?: 'unchanged'): Promise<void>
}
