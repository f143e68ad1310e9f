// The Velero Plugin for vSphere registers its actions under the same names, as version 1. Velero resolves a name to version 2 first, so
// with both installed it calls this plugin's action twice for each item: once for each registration.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolumeClaim } from '#shared/api/types.ts'
import type { ActionLog } from '../actions.ts'

export function warnOfSecondPlugin(claim: PersistentVolumeClaim, log: ActionLog): void {
  log.warn('another plugin for vSphere volumes is installed beside this one: uninstall it', fieldsOf(claim))
}

export function fieldsOf({ metadata }: KubeObject): Record<string, string> {
  return { namespace: metadata.namespace ?? '', claim: metadata.name }
}
