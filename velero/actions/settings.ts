// The ConfigMaps of Velero's namespace that the actions obey. Users write them, so absent and odd values mean the default.

import { type BlockedKinds, blockedKinds } from '../domain/blocked.ts'
import { BLOCKED_MAP, CONFIG_MAP, FEATURES_MAP } from '../domain/names.ts'
import type { ActionDeps } from './deps.ts'

/**
 * Velero asks what an action applies to before the first item: it is read then, and holds for the whole backup. Not before:
 * Velero starts each plugin at its own start only to list it, and ends when one fails. A failure is not kept.
 */
export function blockedKindsOf(deps: ActionDeps): () => Promise<BlockedKinds> {
  let read: Promise<BlockedKinds> | undefined
  return async () => {
    read ??= readBlockedKinds(deps)
    try {
      return await read
    } catch (error) {
      read = undefined
      throw error
    }
  }
}

async function readBlockedKinds(deps: ActionDeps): Promise<BlockedKinds> {
  const [list, config] = await Promise.all(
    [BLOCKED_MAP, CONFIG_MAP].map((name) => deps.cluster.read('ConfigMap', deps.veleroNamespace, name)),
  )
  return blockedKinds(list, config)
}

export type FeatureStates = { localMode: boolean; csiMigration: boolean }

export async function readFeatures(deps: ActionDeps): Promise<FeatureStates> {
  const states = (await deps.cluster.read('ConfigMap', deps.veleroNamespace, FEATURES_MAP))?.data ?? {}
  return { localMode: states['local-mode'] === 'true', csiMigration: states['csi-migrated-volume-support'] === 'true' }
}
