export { DATA, holdsWords, isData, resolveDataset } from './dataset.ts'
export { fetchModel, fetchTokenizer } from './model.ts'
export { type ModelReference, modelReference } from './reference.ts'
export type { DownloadProgress, FetchOptions } from './snapshot.ts'
