// The common dependencies of every function: settings, log, metrics, the Kubernetes API.

import { hostname } from 'node:os'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { systemClock, withWallTime } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import { createLogger, type Logger } from '#shared/runtime/logger.ts'
import { createMetrics, type Metrics } from '#shared/runtime/metrics.ts'

type Wired = { deps: StepDeps; log: Logger; metrics: Metrics }

export function wireLight(name: string): Wired {
  const log = createLogger(name)
  const settings = readSettings(process.env)
  const cluster = createCluster({ onWarning: (warning) => log.warn({ reason: 'ApiWarning' }, warning) })
  const clock = withWallTime(systemClock, cluster)
  const stores = createStores(settings)
  return { deps: { cluster, clock, settings, stores, identity: hostname(), log }, log, metrics: createMetrics() }
}
