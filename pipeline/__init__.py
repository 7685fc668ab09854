"""The stages, one module or folder per arrow of the flow: WAT files → candidates → pool → shards → scores → …"""
