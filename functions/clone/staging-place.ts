// The namespace of the staging claim (docs/design/0006-staging.md). At any time, one claim in the user's namespace counts for the disk in
// its ResourceQuota. Where Velero's own claim waits and counts already, the staging claim is made in Velero's namespace.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { awaitedVolumeName, RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { isNamespaceNamed } from './vouch.ts'

type Settings = Pick<StepDeps, 'settings'>

/**
 * The namespaces to search, the likelier one first: an earlier version made the staging claim next to the clone, and Velero's namespace may
 * have refused the claim.
 */
export function stagingNamespaces({ settings }: Settings, clone: Pick<KubeObject, 'metadata'>): string[] {
  const { namespace = '', annotations } = clone.metadata
  const isDriven = annotations?.[RESTORED_VOLUME_ANNOTATION] !== undefined
  return isDriven ? [...new Set([settings.veleroNamespace, namespace])] : [namespace]
}

/**
 * The namespaces where the claim may be made, the better one first. Only in Velero's namespace is the disk not counted by the user's quota.
 * This requires an open Restore that an operator made and that names the namespace, and the claim that was made for this clone. Otherwise a
 * tenant could get disks that no quota counts.
 */
export async function placesToStage(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  model: PersistentVolumeClaim,
): Promise<string[]> {
  const own = clone.metadata.namespace ?? ''
  if (awaitedVolumeName(clone) === undefined) return [own]
  return (await isNamespaceNamed(deps, clone, model)) ? stagingNamespaces(deps, clone) : [own]
}

/** Adds the annotation for a clone that is known only through its staging claim in Velero's namespace. */
export function asDriven(clone: CloneFromSnapshot): CloneFromSnapshot {
  const annotations = { [RESTORED_VOLUME_ANNOTATION]: 'dormouse-unknown', ...clone.metadata.annotations }
  return { ...clone, metadata: { ...clone.metadata, annotations } }
}
