// The Kubernetes API as Dormouse uses it: read fresh, write with the resourceVersion that was read.

import type { KindName } from '#shared/api/kinds.ts'
import type { ChangeOf, KindTypes, MetadataChange, StatusChangeOf } from '#shared/api/types.ts'

export type ListOptions = { namespace?: string; labelSelector?: string }

/** `limit`: at most so many in one page. `notNamespaces`: leaves these out, at the server. */
export type PageOptions = ListOptions & { limit?: number; notNamespaces?: readonly string[] }

/** Where a list goes on. Only the adapter that gave it can read it; it ends after some minutes. */
export type Cursor = { readonly token: string; readonly limit: number }

/** `bytes`: about what its objects take on the wire. `next` undefined: this was the last page. */
export type Page<Name extends KindName = KindName> = {
  objects: KindTypes[Name][]
  bytes: number
  next: Cursor | undefined
}

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
  read<Name extends KindName>(
    kind: Name,
    namespace: string | undefined,
    name: string,
  ): Promise<KindTypes[Name] | undefined>
  /** All of them at once: for what is small and few. */
  list<Name extends KindName>(kind: Name, options?: ListOptions): Promise<KindTypes[Name][]>
  /**
   * A part of the list, of bounded size: a few megabytes, or a single object. What stands there while all pages are read is in one of
   * them, once; what is made or goes meanwhile may or may not be.
   */
  page<Name extends KindName>(kind: Name, options?: PageOptions, from?: Cursor): Promise<Page<Name>>
  /** Creates it. ConflictError with reason `AlreadyExists` when the name is taken. */
  create<Name extends KindName>(kind: Name, object: KindTypes[Name]): Promise<KindTypes[Name]>
  /**
   * JSON merge patch of the object; `metadata.resourceVersion` of `seen` is sent along, so a stale write fails.
   * For kinds with a status subresource the server ignores `status` here: use patchStatus.
   */
  patch<Name extends KindName>(
    kind: Name,
    seen: KindTypes[Name],
    change: ChangeOf<Name> | MetadataChange,
  ): Promise<KindTypes[Name]>
  patchStatus<Name extends KindName>(
    kind: Name,
    seen: KindTypes[Name],
    status: StatusChangeOf<Name>,
  ): Promise<KindTypes[Name]>
  /**
   * Deletes exactly the object that was seen (UID precondition), with `unchanged` only as it was seen (resourceVersion, too), else
   * ConflictError. Absent is a success.
   */
  delete<Name extends KindName>(kind: Name, seen: KindTypes[Name], precondition?: 'unchanged'): Promise<void>
}
