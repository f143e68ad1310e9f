// Wires the actions to the Kubernetes API. It sends no requests itself: Velero also starts its plugins only to list them.

import { readFileSync } from 'node:fs'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { systemClock, withWallTime } from '#shared/kernel/clock.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { storeRules } from '#shared/repository/stores/registry.ts'
import project from '../package.json' with { type: 'json' }
import { pvcBackupper } from './actions/backupper.ts'
import { pvcDeleter } from './actions/deleter.ts'
import type { ActionDeps } from './actions/deps.ts'
import { itemRestorer } from './actions/item-restorer.ts'
import { oldSnapshotter } from './actions/old-snapshotter.ts'
import { pvcRestorer } from './actions/restorer.ts'
import { pvRestorer } from './actions/volume.ts'
import type { ItemAction } from './actions.ts'
import { readPluginSettings } from './settings.ts'

const POD_NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace'

export function wireActions(): ItemAction[] {
  const { veleroNamespace, kubeconfig, names } = readPluginSettings(process.argv.slice(2), process.env, podNamespace())
  const cluster = createCluster({
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    userAgent: 'dormouse-velero-plugin',
    onWarning: (warning) => console.warn(warning), // the host makes a log line of it
  })
  const deps = actionDeps(cluster, veleroNamespace)
  return [
    pvcBackupper(deps, { name: names.backupper }),
    pvcDeleter(deps, { name: names.deleter }),
    pvcRestorer(deps, { name: names.restorer }),
    pvRestorer({ name: names.volumeRestorer }),
    itemRestorer(deps, { name: names.itemRestorer }),
    oldSnapshotter({ name: names.snapshotter }),
  ]
}

/** Times that functions read later are written by the API server's clock. */
export function actionDeps(cluster: Cluster, veleroNamespace: string): ActionDeps {
  const clock = withWallTime(systemClock, cluster)
  return { cluster, clock, veleroNamespace, stores: storeRules, pluginVersion: project.version }
}

function podNamespace(): string | undefined {
  try {
    return readFileSync(POD_NAMESPACE_FILE, 'utf8').trim()
  } catch {
    return undefined // not in a pod
  }
}
