// Makes the namespaces of one test a group: with an annotation on each BackupRepository, an operator allows that a backup of one of them is
// restored into each of them (docs/design/0004-trust.md).

import { KINDS } from '#shared/api/kinds.ts'
import type { Api } from './kubernetes/api.ts'

export class Group {
  private readonly api: Api
  private readonly namespaces = new Set<string>()
  private readonly repositories = new Set<string>()
  private readonly kept = new Set<string>()
  private turn: Promise<void> = Promise.resolve()

  constructor(api: Api) {
    this.api = api
  }

  async add(namespace: string): Promise<void> {
    if (this.namespaces.has(namespace)) return
    this.namespaces.add(namespace)
    await this.write()
  }

  /** A repository with a list of its own, which stays unchanged. */
  keep(repository: string): void {
    this.kept.add(repository)
  }

  async share(repository: string): Promise<void> {
    if (this.kept.has(repository)) return
    this.repositories.add(repository)
    await this.write()
  }

  /** Runs the updates one after the other, so that no list is older than the one before it. */
  private write(): Promise<void> {
    this.turn = this.turn.catch(() => undefined).then(() => this.writeAll())
    return this.turn
  }

  private async writeAll(): Promise<void> {
    const allowedNamespaces = [...this.namespaces].sort()
    const { apiVersion } = KINDS.BackupRepository
    if (allowedNamespaces.length === 0) return
    for (const name of this.repositories)
      await this.api.patch({ apiVersion, kind: 'BackupRepository', name }, { allowedNamespaces })
  }
}
