// The ConfigMaps in Velero's namespace that configure the actions. Users write them, so missing and invalid values mean the default.

import { type BlockedKinds, blockedKinds } from '../domain/blocked.ts'
import { BLOCKED_MAP, CONFIG_MAP, FEATURES_MAP } from '../domain/names.ts'
import type { ActionDeps } from './deps.ts'

/**
 * Velero calls `appliesTo` before the first item: the ConfigMaps are read then, and used for the whole backup. They are not read earlier:
 * Velero starts each plugin at its own start only to list it, and exits if one fails. A failure is not cached.
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

type FeatureStates = { localMode: boolean; csiMigration: boolean }

export async function readFeatures(deps: ActionDeps): Promise<FeatureStates> {
  const states = (await deps.cluster.read('ConfigMap', deps.veleroNamespace, FEATURES_MAP))?.data ?? {}
  return { localMode: states['local-mode'] === 'true', csiMigration: states['csi-migrated-volume-support'] === 'true' }
}
