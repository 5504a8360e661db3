/** The folder layout of huggingface_hub's cache, which Python and surefoot share. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { isCommit, type Repository } from './reference.ts'

/** See https://bford.info/cachedir/: back-ups leave such a folder out. */
const CACHEDIR_TAG = 'Signature: 8a477f597d28d172789f06886806bc55\n# This folder is the Hugging Face cache.\n'

/** `CACHE/models--org--name` with its `blobs`, `refs` and `snapshots`. */
export class RepositoryCache {
  readonly #cache: string
  readonly #name: string
  readonly #symlinks: boolean

  constructor(settings: { cache: string; symlinks: boolean }, { kind, id }: Repository) {
    this.#cache = settings.cache
    this.#symlinks = settings.symlinks
    this.#name = `${kind}s--${id.replace('/', '--')}`
  }

  /** The file's content, named by its etag. */
  blob(etag: string): string {
    return join(this.#cache, this.#name, 'blobs', etag)
  }

  lock(etag: string): string {
    return join(this.#cache, '.locks', this.#name, `${etag}.surefoot.lock`)
  }

  /** The files of a commit under their names. */
  snapshot(commit: string): string {
    return join(this.#cache, this.#name, 'snapshots', commit)
  }

  pointer(commit: string, file: string): string {
    return join(this.snapshot(commit), ...file.split('/'))
  }

  has(commit: string, file: string): boolean {
    return existsSync(this.pointer(commit, file))
  }

  /** Whether the commit is known not to have the file. */
  lacks(commit: string, file: string): boolean {
    return existsSync(this.#absence(commit, file))
  }

  /** The names of the files of a commit that are here, with `/` and sorted. */
  async files(commit: string): Promise<string[]> {
    const folder = this.snapshot(commit)
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const names = entries
      .filter(entry => !entry.isDirectory())
      .map(entry => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    return names.filter(name => this.has(commit, name)).sort()
  }

  /** The commit of a revision when it was last fetched, if anything of it is here. */
  async commit(revision: string): Promise<string | undefined> {
    const text = isCommit(revision) ? revision : await readFile(this.#ref(revision), 'utf8').catch(() => '')
    return isCommit(text) && existsSync(this.snapshot(text)) ? text : undefined
  }

  /** Remembers which commit a revision is. A ref that says so already is left alone: the cache may be read-only. */
  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit) return
    const ref = this.#ref(revision)
    if ((await readFile(ref, 'utf8').catch(() => '')) === commit) return
    const whole = `${ref}.${randomUUID().slice(0, 8)}.tmp`
    await mkdir(dirname(ref), { recursive: true })
    await writeFile(whole, commit)
    await rename(whole, ref)
  }

  /** Remembers that the commit has none of the files. */
  async rememberAbsent(commit: string, files: readonly string[]): Promise<void> {
    for (const file of files.filter(name => !this.lacks(commit, name))) {
      const path = this.#absence(commit, file)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, '')
    }
  }

  async prepare(etag: string): Promise<void> {
    await mkdir(dirname(this.blob(etag)), { recursive: true })
    const tag = join(this.#cache, 'CACHEDIR.TAG')
    if (!existsSync(tag)) await writeFile(tag, CACHEDIR_TAG)
  }

  /**
   * Puts a blob under its name into a commit's snapshot: a relative link, or where there are no links the file itself,
   * moved there if `fresh` and else copied.
   */
  async place(etag: string, commit: string, file: string, fresh: boolean): Promise<void> {
    const blob = this.blob(etag)
    const pointer = this.pointer(commit, file)
    await mkdir(dirname(pointer), { recursive: true })
    await rm(pointer, { force: true })
    if (this.#symlinks && (await linked(relative(dirname(pointer), blob), pointer))) return
    if (fresh) await rename(blob, pointer)
    else await copyFile(blob, pointer)
  }

  #ref(revision: string): string {
    return join(this.#cache, this.#name, 'refs', ...revision.split('/'))
  }

  #absence(commit: string, file: string): string {
    return join(this.#cache, this.#name, '.no_exist', commit, ...file.split('/'))
  }
}

/** False where the system or the file system has no symbolic links for us. */
async function linked(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path, 'file')
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await readlink(path)) === target) return true
    if (['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(code ?? '')) return false
    throw error
  }
}
