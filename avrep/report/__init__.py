"""What a person looks at: the run report, contact sheets, the corpus picture and the doctor."""
