// The last part of an environment's start: what wakes functions, and what runs them.

import path from 'node:path'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Parts } from './environment.ts'
import { Adapters } from './eventing/adapters.ts'
import { Pings } from './eventing/pings.ts'
import { type Destination, Router } from './eventing/router.ts'
import type { Faults } from './faults/faults.ts'
import { FUNCTION_GRACE_MS, HEAVY_FUNCTIONS, type Settings } from './options.ts'
import { PROJECT } from './process/tools.ts'
import { NODE_NAME } from './seed.ts'
import { Activator } from './serving/activator.ts'
import { type FunctionSpec, functionSpec } from './serving/function-spec.ts'
import { Launcher } from './serving/launcher.ts'
import type { Ground, Rendered, Servers } from './start.ts'

type Woken = Pick<Parts, 'router' | 'activator' | 'pings' | 'adapters' | 'vddk'>
type Fronts = Servers & { faults: Faults | undefined }
type Hosts = { router: Router; activator: Activator }

export async function startFunctions(ground: Ground, servers: Fronts, rendered: Rendered): Promise<Woken> {
  const { settings, cleanups, folder, logFolder, leash, ports } = ground
  const { api } = servers.controlPlane
  const vddk = { traceFile: path.join(logFolder, 'vddk.trace'), faultFile: path.join(folder, 'vddk.faults') }
  const specs = settings.functions
    ? ofKind(rendered.services, 'Service').map((one) => scaled(functionSpec(one), settings))
    : []
  const launcher = new Launcher({
    ...{ api, folder, logFolder, leash, ports, nodeName: NODE_NAME },
    server: servers.faults?.kubernetes.url ?? servers.controlPlane.server,
    bundles: settings.bundles,
    podAccess: settings.podAccess,
    addresses: () => ({ router: router.url, activator: activator.url }),
    envOf: (spec) => functionEnv(spec, settings, servers, vddk),
  })
  const activator = new Activator({
    specs,
    idleMs: settings.idleMs,
    stopGraceMs: FUNCTION_GRACE_MS,
    startInstance: (spec, index) => launcher.start(spec, index),
  })
  await activator.start()
  cleanups.add('the functions', () => activator.stop())

  const router = new Router(rendered.eventing, (to, namespace) => addressOf(to, namespace, { router, activator }))
  await router.start()
  cleanups.add('the router', () => router.stop())

  const sinkOf = (source: LooseObject) => addressOf(source['spec'].sink, namespaceOf(source), { router, activator })
  const pings = new Pings(rendered.eventing, sinkOf, settings.pingEveryMs)
  pings.start()
  cleanups.add('the pings', async () => pings.stop())

  const adapters = new Adapters(rendered.eventing, {
    ...{ api, leash, logFolder, sinkOf },
    program: ground.tools.get('apiserver_receive_adapter') ?? '',
    kubeconfigOf: (source) =>
      launcher.kubeconfigOf(namespaceOf(source), source['spec'].serviceAccountName ?? 'default'),
  })
  cleanups.add('the event sources', () => adapters.stop())
  servers.faults?.know(() => [...activator.programs(), ...adapters.programs()])
  settings.beside?.faults?.know(() =>
    activator.programs().map((one) => ({ ...one, label: `${settings.clusterId} ${one.label}` })),
  )
  if (settings.adapters) await adapters.start()
  return { router, activator, pings, adapters, vddk }
}

/** What Node has compiled before, as in the images: docs/operations/install.md. */
function compiled(): Record<string, string> {
  const folder = process.env['NODE_COMPILE_CACHE']
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder }
}

/** Where a Destination of Knative (`ref` or `uri`) is in this environment. */
function addressOf(to: Destination, namespace: string, { router, activator }: Hosts): string {
  const { ref, uri = '' } = to ?? {}
  if (ref === undefined) return uri
  const base =
    ref.kind === 'Broker' ? router.brokerUrl(ref.namespace ?? namespace, ref.name) : activator.urlOf(ref.name)
  return `${base}${uri}`
}

function scaled(spec: FunctionSpec, { movers }: Settings): FunctionSpec {
  return movers !== undefined && HEAVY_FUNCTIONS.includes(spec.step) ? { ...spec, maxScale: movers } : spec
}

/** Ticks come faster in tests than in a cluster. */
const NO_GAPS = {
  DORMOUSE_SWEEP_GAP_SECONDS: '0',
  DORMOUSE_ORPHAN_GAP_SECONDS: '0',
  DORMOUSE_MAINTENANCE_GAP_SECONDS: '0',
}

/** Variables that differ from a cluster, such as where VDDK is; then those of the options. */
function functionEnv(
  spec: FunctionSpec,
  settings: Settings,
  { vcenter, faults }: Fronts,
  vddk: Parts['vddk'],
): Record<string, string> {
  const env: Record<string, string> = { ...NO_GAPS, ...compiled(), ...faults?.env }
  if (settings.movers !== undefined) env['DORMOUSE_MOVERS'] = String(settings.movers)
  if (HEAVY_FUNCTIONS.includes(spec.step)) {
    Object.assign(env, {
      DORMOUSE_VDDK_DIR: path.join(PROJECT, 'build/standins/vddk'),
      FAKE_VDDK_ROOT: vcenter.dataRoot,
      FAKE_VDDK_SERVER: vcenter.host,
      FAKE_VDDK_PORT: String(vcenter.shownPort),
      FAKE_VDDK_USER: vcenter.user,
      FAKE_VDDK_PASSWORD: vcenter.password,
      FAKE_VDDK_THUMBPRINT: vcenter.thumbprintSha1,
      FAKE_VDDK_TRACE: vddk.traceFile,
      FAKE_VDDK_FAULTS: vddk.faultFile,
    })
  }
  return { ...env, ...settings.env, ...settings.envOf[spec.step] }
}

function ofKind(objects: LooseObject[], kind: string): LooseObject[] {
  return objects.filter((object) => object.kind === kind && object.apiVersion.startsWith('serving.knative.dev/'))
}

function namespaceOf(object: LooseObject): string {
  return object.metadata.namespace ?? 'default'
}
