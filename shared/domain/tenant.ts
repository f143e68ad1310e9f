// Whose object it is, for sharing out time and room: the namespace that it is in, or for a transfer the one that it was made for.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName } from '#shared/api/names.ts'

type References = { snapshotReference?: unknown; clonefromSnapshotReference?: unknown }

/** Uploads and Downloads lie in Velero's namespace, where nobody else writes, so what they name is true. */
export function tenantOf({ kind, metadata, ...object }: KubeObject): string {
  const { snapshotReference, clonefromSnapshotReference } = (object.spec ?? {}) as References
  const reference: unknown = kind === 'Upload' ? snapshotReference : clonefromSnapshotReference
  const isTransfer = kind === 'Upload' || kind === 'Download'
  const [namespace] = isTransfer && typeof reference === 'string' ? reference.slice(0, 64).split('/', 1) : []
  return isNamespaceName(namespace) ? namespace : (metadata.namespace ?? '')
}
