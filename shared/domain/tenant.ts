// The tenant of an object, used to share out time and space: its namespace or, for a transfer, the namespace that it was made for.

import type { KubeObject } from '#shared/api/kinds.ts'
import { parseNamespacedName } from '#shared/api/names.ts'

type References = { snapshotReference?: unknown; clonefromSnapshotReference?: unknown }

/** Uploads and Downloads lie in Velero's namespace, where tenants cannot write, so their references are trusted. */
export function tenantOf({ kind, metadata, ...object }: KubeObject): string {
  const { snapshotReference, clonefromSnapshotReference } = (object.spec ?? {}) as References
  const reference: unknown = kind === 'Upload' ? snapshotReference : clonefromSnapshotReference
  const isTransfer = kind === 'Upload' || kind === 'Download'
  const owner = isTransfer ? parseNamespacedName(reference) : undefined
  return owner?.namespace ?? metadata.namespace ?? ''
}
