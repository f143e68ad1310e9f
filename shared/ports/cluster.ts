// The Kubernetes API as Dormouse uses it: read the current object, write with the resourceVersion that was read.

import type { KindName } from '#shared/api/kinds.ts'
import type { ChangeOf, KindTypes, MetadataChange, StatusChangeOf } from '#shared/api/types.ts'

export type ListOptions = { namespace?: string; labelSelector?: string }

/** `limit`: the maximum number of objects in one page. `notNamespaces`: the server leaves these out. */
export type PageOptions = ListOptions & { limit?: number; notNamespaces?: readonly string[] }

/** Where a list continues. Only the adapter that returned it can read it; it expires after some minutes. */
export type Cursor = { readonly token: string; readonly limit: number }

/** `bytes`: the approximate size of its objects on the wire. `next` undefined: this was the last page. */
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
   * The API server's clock, in epoch ms, to a second. Compare `creationTimestamp` with it, because the clocks of nodes differ.
   * Before the server's first answer it is this node's clock.
   */
  nowMs(): number
  read<Name extends KindName>(
    kind: Name,
    namespace: string | undefined,
    name: string,
  ): Promise<KindTypes[Name] | undefined>
  /** All objects at once: only for kinds with few, small objects. */
  list<Name extends KindName>(kind: Name, options?: ListOptions): Promise<KindTypes[Name][]>
  /**
   * A part of the list, of bounded size: a few megabytes, or a single object. An object that exists while all pages are read is in
   * exactly one of them; an object that is created or deleted meanwhile may or may not be.
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
   * Deletes exactly the object that was seen (UID precondition), with `unchanged` only if it is unchanged (resourceVersion, too), else
   * throws ConflictError. If the object does not exist, the call succeeds.
   */
  delete<Name extends KindName>(kind: Name, seen: KindTypes[Name], precondition?: 'unchanged'): Promise<void>
}
