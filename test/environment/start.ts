// Starts the parts of an environment in order, and remembers how to end each of them.

import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import type { LooseObject } from '#test/support/loose-object.ts'
import { Cleanups } from './cleanups.ts'
import type { Parts } from './environment.ts'
import { Faults } from './faults/faults.ts'
import { makeFolder, removeFolder, sweepFolders } from './folder.ts'
import { Authority } from './kubernetes/certificates.ts'
import { ControlPlane } from './kubernetes/control-plane.ts'
import { type EnvironmentOptions, type Settings, settingsOf } from './options.ts'
import { Ports } from './process/ports.ts'
import { findLeash, findTools, PROJECT, type ToolName } from './process/tools.ts'
import { applyAll, isKnative, knativeCrds, loadAll, newRepositoryKey, seedCluster } from './seed.ts'
import { startFunctions } from './start-functions.ts'
import { CsiDriver } from './storage/csi.ts'
import { S3Server } from './storage/s3.ts'
import { Vcenter } from './storage/vcenter.ts'
import { installedByVelero, withoutOthersOf } from './velero/install.ts'
import { startVelero } from './velero/start.ts'

const run = promisify(execFile)

/** What every part is given. */
export type Ground = {
  settings: Settings
  cleanups: Cleanups
  folder: string
  logFolder: string
  leash: string
  tools: Map<ToolName, string>
  ports: Ports
  authority: Authority
}
export type Servers = { controlPlane: ControlPlane; s3: S3Server; vcenter: Vcenter }
/** Manifests as a cluster gets them. */
export type Rendered = { cluster: LooseObject[]; services: LooseObject[]; eventing: LooseObject[] }

export async function startParts(options: EnvironmentOptions): Promise<{ parts: Parts; cleanups: Cleanups }> {
  const cleanups = new Cleanups()
  try {
    return { parts: await start(settingsOf(options), cleanups), cleanups }
  } catch (error) {
    // Throws the first error; one from ending half an environment would say less.
    await cleanups.run().catch(() => {})
    throw error
  }
}

async function start(settings: Settings, cleanups: Cleanups): Promise<Parts> {
  const startMs = performance.now()
  const say = (line: string) => settings.say(`${line} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`)
  const ground = await prepare(settings, cleanups)
  say('tools are there')
  const { controlPlane, s3, vcenter } = await startServers(ground)
  say('API server, S3 server and vCenter simulator are up')
  const servers = { controlPlane, s3, vcenter }
  const faults = await putFaults(ground, servers)
  const repositoryKey = settings.beside?.repositoryKey ?? newRepositoryKey()
  const rendered = await render(ground)
  await applyAll(controlPlane.api, await clusterObjects(ground, controlPlane, rendered))
  await seedCluster(controlPlane.api, s3, vcenter.configText(settings.clusterId), repositoryKey)
  say(`${rendered.cluster.length} objects applied`)
  const csi = new CsiDriver(controlPlane.api, vcenter)
  await csi.start()
  cleanups.add('the CSI stand-in', async () => csi.stop())
  const woken = await startFunctions(ground, { ...servers, faults }, rendered)
  say('functions and event sources are ready')
  const velero = await startVelero(ground, { ...servers, faults })
  if (velero !== undefined) say('Velero is up')
  const { folder, logFolder, tools } = ground
  return {
    folder,
    logFolder,
    kubectlProgram: tools.get('kubectl')!,
    controlPlane,
    s3,
    vcenter,
    csi,
    repositoryKey,
    faults,
    velero,
    ...woken,
  }
}

async function prepare(settings: Settings, cleanups: Cleanups): Promise<Ground> {
  await sweepFolders()
  const folder = await makeFolder(settings.folder)
  if (!settings.keepFolder) cleanups.add('the folder', () => removeFolder(folder))
  const ports = new Ports()
  cleanups.add('the ports', async () => ports.release())
  const names: ToolName[] = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl', 'versitygw', 'vcenter']
  if (settings.adapters || settings.manifests.eventing.length > 0) names.push('apiserver_receive_adapter')
  if (settings.knativeCrds) names.push('knative-crds')
  if (settings.velero !== undefined) names.push('velero', 'velero-plugin-for-aws')
  const [tools, leash] = await Promise.all([findTools(names, settings.say), findLeash(), buildVddk()])
  const logFolder = path.join(folder, 'logs')
  return { settings, cleanups, folder, logFolder, leash, tools, ports, authority: new Authority() }
}

async function startServers(ground: Ground): Promise<Servers> {
  const { settings, cleanups } = ground
  const starting = ControlPlane.start({ ...within(ground, 'kubernetes'), quota: settings.quota })
  const [controlPlane, { s3, vcenter }] = await Promise.all([starting, settings.beside ?? startStorage(ground)])
  cleanups.add('the control plane', () => controlPlane.stop())
  return { controlPlane, s3, vcenter }
}

async function startStorage(ground: Ground): Promise<Omit<Servers, 'controlPlane'>> {
  const { tools, settings, cleanups } = ground
  const { clusterId, s3Tls: tls } = settings
  const [s3, vcenter] = await Promise.all([
    S3Server.start({ ...within(ground, 's3'), program: tools.get('versitygw')!, tls }),
    Vcenter.start({ ...within(ground, 'vcenter'), program: tools.get('vcenter')!, clusterId }),
  ])
  cleanups.add('the vCenter simulator', () => vcenter.stop())
  cleanups.add('the S3 server', () => s3.stop())
  return { s3, vcenter }
}

function within(ground: Ground, name: string): Ground {
  return { ...ground, folder: path.join(ground.folder, name) }
}

async function putFaults({ settings, cleanups, ports, folder }: Ground, servers: Servers): Promise<Faults | undefined> {
  if (!settings.faults) return undefined
  if (settings.beside !== undefined) throw new Error('what stands before shared servers is the other environment’s')
  const faults = await Faults.start(servers, ports, folder)
  cleanups.add('the fault proxies', () => faults.stop())
  return faults
}

async function render({ settings, tools }: Ground): Promise<Rendered> {
  const kubectl = tools.get('kubectl')!
  const { cluster, services, eventing } = settings.manifests
  const [first, second, third] = await Promise.all(
    [cluster, services, eventing].map((places) => loadAll(places, kubectl)),
  )
  return { cluster: first!, services: second!, eventing: third! }
}

/** Knative's own objects are read and not applied; everything else beside them (ServiceAccounts, ConfigMaps) is applied. */
async function clusterObjects(
  { settings, tools }: Ground,
  { kubeconfig }: ControlPlane,
  { cluster, services, eventing }: Rendered,
): Promise<LooseObject[]> {
  const objects = [...cluster, ...services, ...eventing].filter((object) => !isKnative(object))
  const knative = settings.knativeCrds ? await knativeCrds(tools.get('knative-crds')!, tools.get('kubectl')!) : []
  const velero = settings.velero === undefined ? [] : await installedByVelero(tools.get('velero')!, kubeconfig)
  return [...knative, ...velero, ...withoutOthersOf(velero, objects)]
}

async function buildVddk(): Promise<void> {
  await run('sh', [path.join(PROJECT, 'test/standins/vddk/build.sh'), path.join(PROJECT, 'build/standins/vddk')])
}
