// etcd, kube-apiserver and the part of kube-controller-manager that volumes need, as processes on loopback.

import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Program } from '../process/child.ts'
import type { Ports } from '../process/ports.ts'
import type { ToolName } from '../process/tools.ts'
import { Api } from './api.ts'
import { type Authority, signingKeyPem } from './certificates.ts'
import { writeKubeconfig } from './kubeconfig.ts'

type ControlPlaneOptions = {
  folder: string
  logFolder: string
  leash: string
  tools: Map<ToolName, string>
  ports: Ports
  authority: Authority
  /** Starts one more controller, which counts for ResourceQuotas and watches every kind. */
  quota?: boolean
}

// Binding and garbage collection are done by the same controllers as in a cluster; no other part of the controller manager runs.
const CONTROLLERS = [
  'persistentvolume-binder-controller',
  'persistentvolumeclaim-protection-controller',
  'persistentvolume-protection-controller',
  'namespace-controller',
  'serviceaccount-controller',
  'garbage-collector-controller',
]

export class ControlPlane {
  /** The address that the environment itself uses; functions may be given another one. */
  readonly server: string
  readonly caPem: string
  readonly kubeconfig: string
  /** File of its certificate (`.crt`) and key (`.key`). */
  readonly certificate: string
  readonly api: Api
  private readonly options: ControlPlaneOptions
  private readonly commands: Record<'etcd' | 'apiserver' | 'controllers', string[]>
  private etcd: Program | undefined
  private apiserver: Program | undefined
  private controllers: Program | undefined

  private constructor(options: ControlPlaneOptions, ports: { etcd: number; peer: number; api: number }, token: string) {
    const { folder, tools, authority } = options
    this.options = options
    this.server = `https://127.0.0.1:${ports.api}`
    this.caPem = authority.certPem
    this.certificate = path.join(folder, 'apiserver')
    this.kubeconfig = path.join(folder, 'kubeconfig')
    this.api = new Api({ server: this.server, caPem: this.caPem, token })
    this.commands = {
      etcd: [tools.get('etcd')!, ...etcdFlags(folder, ports.etcd, ports.peer)],
      apiserver: [tools.get('kube-apiserver')!, ...apiserverFlags(folder, ports.api, ports.etcd)],
      controllers: [
        tools.get('kube-controller-manager')!,
        ...controllerFlags(folder, this.kubeconfig, options.quota === true),
      ],
    }
  }

  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const { folder, ports, authority } = options
    const token = randomBytes(24).toString('hex')
    const [etcd, peer, api] = [await ports.take(), await ports.take(), await ports.take()]
    const plane = new ControlPlane(options, { etcd, peer, api }, token)
    await mkdir(folder, { recursive: true })
    const server = authority.serverCertificate(['127.0.0.1', 'localhost', 'kubernetes.default.svc'])
    await Promise.all([
      writeFile(path.join(folder, 'apiserver.crt'), server.certPem),
      writeFile(path.join(folder, 'apiserver.key'), server.keyPem, { mode: 0o600 }),
      writeFile(path.join(folder, 'service-account.key'), signingKeyPem(), { mode: 0o600 }),
      // token, user, id, groups: the admin of this environment.
      writeFile(path.join(folder, 'tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 }),
      writeKubeconfig(plane.kubeconfig, { server: plane.server, caPem: plane.caPem, token, user: 'admin' }),
    ])
    await plane.startApi()
    await plane.startControllers()
    return plane
  }

  /** Paths of the programs, for tests that need real binaries. */
  get programs(): string[] {
    return Object.values(this.commands).map(([program]) => program!)
  }

  /** Pids of the leashes. */
  get pids(): Record<'etcd' | 'kube-apiserver', number[]> {
    const pid = (program: Program | undefined) => (program === undefined ? [] : [program.leashPid])
    return { etcd: pid(this.etcd), 'kube-apiserver': pid(this.apiserver) }
  }

  /** etcd and kube-apiserver; also after stopApi, with the same data, port and certificate. */
  async startApi(): Promise<void> {
    this.etcd = await this.run('etcd', this.commands.etcd)
    this.apiserver = await this.run('kube-apiserver', this.commands.apiserver)
    await this.apiserver.ready(() => this.isReady(), 90_000)
  }

  async startControllers(): Promise<void> {
    this.controllers = await this.run('kube-controller-manager', this.commands.controllers)
  }

  /** Stops the API server alone, as in an upgrade of a cluster; etcd keeps its data. */
  async restartApiserver(downMs = 0): Promise<void> {
    await this.apiserver?.stop(10_000)
    await new Promise((resolve) => setTimeout(resolve, downMs))
    this.apiserver = await this.run('kube-apiserver', this.commands.apiserver)
    await this.apiserver.ready(() => this.isReady(), 90_000)
  }

  /** `down` is SIGKILL; `up` starts it again with its data, and resolves when the API answers. */
  readonly etcdServer = {
    down: async () => void (await this.etcd?.kill()),
    up: async () => {
      this.etcd = await this.run('etcd', this.commands.etcd)
      await this.apiserver?.ready(() => this.isReady(), 90_000)
    },
  }
  readonly apiServer = {
    down: async () => void (await this.apiserver?.kill()),
    up: async () => {
      this.apiserver = await this.run('kube-apiserver', this.commands.apiserver)
      await this.apiserver.ready(() => this.isReady(), 90_000)
    },
  }

  async stop(): Promise<void> {
    this.api.close()
    // No data has to be kept, so a kill will do; etcd ends last so that the others do not log its loss.
    await this.controllers?.kill()
    await this.apiserver?.kill()
    await this.etcd?.kill()
  }

  private async isReady(): Promise<boolean> {
    return (await this.api.send('GET', '/readyz')).status === 200
  }

  private run(name: string, command: string[]): Promise<Program> {
    return Program.start({ name, leash: this.options.leash, command, logFolder: this.options.logFolder })
  }
}

function etcdFlags(folder: string, port: number, peerPort: number): string[] {
  const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  return [
    `--data-dir=${path.join(folder, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // A crash of the machine may lose this data: nothing needs it afterwards.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]
}

function apiserverFlags(folder: string, port: number, etcdPort: number): string[] {
  const key = path.join(folder, 'service-account.key')
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${path.join(folder, 'apiserver.crt')}`,
    `--tls-private-key-file=${path.join(folder, 'apiserver.key')}`,
    `--token-auth-file=${path.join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // There is no Service network, so no client looks for the API server's own endpoints.
    '--endpoint-reconciler-type=none',
    '--allow-privileged=true',
    '--profiling=false',
    '--v=1',
  ]
}

function controllerFlags(folder: string, kubeconfig: string, quota: boolean): string[] {
  const controllers = quota ? [...CONTROLLERS, 'resourcequota-controller'] : CONTROLLERS
  return [
    `--kubeconfig=${kubeconfig}`,
    `--controllers=${controllers.join(',')}`,
    `--service-account-private-key-file=${path.join(folder, 'service-account.key')}`,
    '--leader-elect=false',
    '--use-service-account-credentials=false',
    // 0: serves no port.
    '--secure-port=0',
    '--pvclaimbinder-sync-period=5s',
    '--kube-api-qps=200',
    '--kube-api-burst=400',
    '--profiling=false',
    '--v=1',
  ]
}
