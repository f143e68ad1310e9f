// The ConfigMaps of Velero's namespace that the actions obey. Users write them, so absent and odd values mean the default.

import { type BlockedKinds, blockedKinds } from '../domain/blocked.ts'
import { BLOCKED_MAP, CONFIG_MAP, FEATURES_MAP } from '../domain/names.ts'
import type { ActionDeps } from './deps.ts'

/** Read once per process, which Velero starts anew for each backup: AppliesTo is asked before the first item. */
export async function readBlockedKinds(deps: ActionDeps): Promise<BlockedKinds> {
  const [list, config] = await Promise.all(
    [BLOCKED_MAP, CONFIG_MAP].map((name) => deps.cluster.read('ConfigMap', deps.veleroNamespace, name)),
  )
  return blockedKinds(list, config)
}

export type FeatureStates = { localMode: boolean; csiMigration: boolean }

export async function readFeatures(deps: ActionDeps): Promise<FeatureStates> {
  const states = (await deps.cluster.read('ConfigMap', deps.veleroNamespace, FEATURES_MAP))?.['data'] ?? {}
  return { localMode: states['local-mode'] === 'true', csiMigration: states['csi-migrated-volume-support'] === 'true' }
}
