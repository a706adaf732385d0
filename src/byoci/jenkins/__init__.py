"""The remote API of Jenkins, asked by byoci: builds and jobs, the same for any server of the family."""
