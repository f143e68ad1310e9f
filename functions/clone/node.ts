// Chooses the node for a staging claim whose class waits for its first consumer, as the scheduler would for a Pod.

import type { CloneFromSnapshot, PersistentVolumeClaim, StorageClass } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { chooseNode, SELECTED_NODE_ANNOTATION } from '#shared/domain/node-choice.ts'
import { awaitedVolumeName } from '#shared/domain/restored-volume.ts'
import { ObstacleError } from './patience.ts'

/** Throws ObstacleErrors `NoNodeForVolume` and `NoNodeInTopology`. `model` is the waiting claim or the stored one. */
export async function nodeFor(
  deps: StepDeps,
  clone: CloneFromSnapshot,
  storageClass: StorageClass,
  model: PersistentVolumeClaim,
): Promise<string> {
  const [nodes, csiNodes] = [await deps.cluster.list('Node'), await deps.cluster.list('CSINode')]
  const choice = chooseNode({ storageClass, nodes, csiNodes, selected: selectedFor(clone, model) })
  if (choice.kind === 'node') return choice.name
  throw new ObstacleError(choice.reason, choice.message)
}

/** The node that is stored with a backup belongs to a disk in another place and may be gone. */
function selectedFor(clone: CloneFromSnapshot, model: PersistentVolumeClaim): string | undefined {
  return awaitedVolumeName(clone) === undefined ? undefined : model.metadata.annotations?.[SELECTED_NODE_ANNOTATION]
}
