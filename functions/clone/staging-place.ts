// In which namespace the staging claim stands (docs/design/0006-staging.md). One claim of the user's namespace counts for the disk at any time, as
// its ResourceQuota sees it: where Velero's own claim waits and counts already, the staging claim stands in Velero's namespace.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { CloneFromSnapshot, PersistentVolumeClaim } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { awaitedVolumeName, RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { isNamespaceNamed } from './vouch.ts'

type Settings = Pick<StepDeps, 'settings'>

/** Where it is looked for, the likelier place first: an earlier version has it beside the claim, and Velero's namespace may have refused it. */
export function stagingNamespaces({ settings }: Settings, clone: Pick<KubeObject, 'metadata'>): string[] {
  const { namespace = '', annotations } = clone.metadata
  const isDriven = annotations?.[RESTORED_VOLUME_ANNOTATION] !== undefined
  return isDriven ? [...new Set([settings.veleroNamespace, namespace])] : [namespace]
}

/**
 * Where it may be made, the better place first. Not counted by the namespace's quota only for a Restore that an operator has made, that is open and
 * names the namespace, and for the very claim that was made for this clone: else a tenant would get disks that nobody counts.
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

/** As it is looked for when only its staging claim in Velero's namespace tells of it. */
export function asDriven(clone: CloneFromSnapshot): CloneFromSnapshot {
  const annotations = { [RESTORED_VOLUME_ANNOTATION]: 'dormouse-unknown', ...clone.metadata.annotations }
  return { ...clone, metadata: { ...clone.metadata, annotations } }
}
