// A stand-in for Velero's node agent, which needs a kubelet. It reports that it runs, and that it has backed up each requested volume.

import type { Environment } from '#test/environment/environment.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const LOOK_EVERY_MS = 250
const PLACE = { apiVersion: 'v1', kind: 'Pod', namespace: 'velero', name: 'node-agent' }
/** The labels by which Velero (pkg/nodeagent) finds it. */
const LABELS = { name: 'node-agent', role: 'node-agent' }

export class NodeAgent {
  private readonly environment: Environment
  private readonly nodeName: string
  private looking: NodeJS.Timeout | undefined
  private problem: unknown
  private readonly asked: { namespace: string; volume: string }[] = []

  private constructor(environment: Environment, nodeName: string) {
    this.environment = environment
    this.nodeName = nodeName
  }

  static async start(environment: Environment, nodeName: string): Promise<NodeAgent> {
    const agent = new NodeAgent(environment, nodeName)
    await runningPod(environment, { ...PLACE, nodeName, labels: LABELS, volumes: [] })
    agent.lookAgain()
    return agent
  }

  /** The volumes of that namespace that Velero asked for: Velero removes its PodVolumeBackups when they are over. */
  askedIn(namespace: string): string[] {
    return this.asked.filter((one) => one.namespace === namespace).map(({ volume }) => volume)
  }

  /** Throws the error that kept it from its work, if there was one. */
  stop(): void {
    clearTimeout(this.looking)
    if (this.problem !== undefined) throw this.problem
  }

  private lookAgain(): void {
    this.looking = setTimeout(
      () =>
        void this.look().then(
          () => this.lookAgain(),
          (error: unknown) => (this.problem = error),
        ),
      LOOK_EVERY_MS,
    )
  }

  private async look(): Promise<void> {
    for (const wanted of await this.environment.api.list('velero.io/v1', 'PodVolumeBackup', 'velero'))
      if ((wanted['status']?.phase ?? '') === '') await this.complete(wanted)
  }

  private async complete({ apiVersion, kind, metadata, ...wanted }: LooseObject): Promise<void> {
    const { node, volume, pod } = wanted['spec']
    this.asked.push({ namespace: pod.namespace, volume })
    if (node !== this.nodeName) throw new Error(`PodVolumeBackup ${metadata.name} is for node ${node}`)
    const nowText = new Date().toISOString()
    const status = {
      phase: 'Completed',
      snapshotID: `of-${volume}`,
      startTimestamp: nowText,
      completionTimestamp: nowText,
    }
    await this.environment.api.patch({ apiVersion, kind, namespace: 'velero', name: metadata.name }, { status })
  }
}

type PodWanted = {
  namespace: string
  name: string
  nodeName: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  /** Of the single container: `volumeMounts` or `volumeDevices`; the pod may declare volumes that it does not use. */
  uses?: object
  volumes: { name: string; claim: string }[]
}

/** A pod as the API server shows it while a kubelet runs it. */
export async function runningPod(environment: Environment, wanted: PodWanted): Promise<void> {
  const { namespace, name, nodeName, labels = {}, annotations = {}, uses = {}, volumes } = wanted
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels, annotations },
    spec: {
      nodeName,
      containers: [{ name: 'main', image: 'none', ...uses }],
      volumes: volumes.map((volume) => ({ name: volume.name, persistentVolumeClaim: { claimName: volume.claim } })),
    },
  })
  const place = { apiVersion: 'v1', kind: 'Pod', namespace, name }
  await environment.api.patch(place, { status: { phase: 'Running' } }, 'status')
}
